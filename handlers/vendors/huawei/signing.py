"""How our own calls of Huawei Cloud are signed: SDK-HMAC-SHA256, under the secret itself.

Facts: the vendor's guide to signing API requests (support.huaweicloud.com, apisign). The path is signed part by part
and with a slash at its end, though it is sent without one.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.operation import Access

ALGORITHM = "SDK-HMAC-SHA256"
#: headers that hold what must not be shown
HIDDEN = frozenset({"Authorization", "X-Security-Token"})


def sign(  # noqa: PLR0913 - each is one part of what is signed
    method: str, path: str, headers: Mapping[str, str], body: bytes, *, access: Access, at: int
) -> dict[str, str]:
    """Return the headers of a request without a query, those of the signature among them; `at` in milliseconds UTC.

    All headers that are given are signed, Host among them.
    """
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at // 1000))
    sent = {**headers, "X-Sdk-Date": date}
    if access.token is not None:
        sent["X-Security-Token"] = access.token
    lower = {name.lower(): value.strip() for name, value in sent.items()}
    names = ";".join(sorted(lower))
    lines = "".join(f"{name}:{lower[name]}\n" for name in sorted(lower))
    whole = "\n".join([method, _signed(path), "", lines, names, hashlib.sha256(body).hexdigest()])
    text = f"{ALGORITHM}\n{date}\n{hashlib.sha256(whole.encode()).hexdigest()}"
    signature = hmac.digest(access.secret.encode("utf-8", "surrogatepass"), text.encode(), "sha256").hex()
    sent["Authorization"] = f"{ALGORITHM} Access={access.key_id}, SignedHeaders={names}, Signature={signature}"
    return sent


def _signed(path: str) -> str:
    parts = "/".join(quote(part, safe="~") for part in unquote(path).split("/"))
    return parts if parts.endswith("/") else f"{parts}/"
