"""How our own calls of Alibaba Cloud are signed: ACS3-HMAC-SHA256 over query, headers and body.

Facts: help.aliyun.com/zh/sdk/product-overview/v3-request-structure-and-signature.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.operation import Access

ALGORITHM = "ACS3-HMAC-SHA256"
#: headers that hold what must not be shown
HIDDEN = frozenset({"Authorization", "x-acs-security-token"})


def encode(pairs: Mapping[str, str]) -> str:
    """Return the query as it is sent and signed: sorted, a blank as %20."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(pairs.items()))


def sign(  # noqa: PLR0913 - each is one part of what is signed
    method: str, query: str, headers: Mapping[str, str], body: bytes, *, access: Access, at: int, nonce: str
) -> dict[str, str]:
    """Return the headers of a request for `/`, those of the signature among them; `at` in milliseconds UTC.

    All headers that are given are signed, host among them.
    """
    sent = {
        **headers,
        "x-acs-date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 1000)),
        "x-acs-signature-nonce": nonce,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    if access.token is not None:
        sent["x-acs-security-token"] = access.token
    lower = {name.lower(): value.strip() for name, value in sent.items()}
    names = ";".join(sorted(lower))
    lines = "".join(f"{name}:{lower[name]}\n" for name in sorted(lower))
    whole = "\n".join([method, "/", query, lines, names, sent["x-acs-content-sha256"]])
    text = f"{ALGORITHM}\n{hashlib.sha256(whole.encode()).hexdigest()}"
    signature = hmac.digest(access.secret.encode("utf-8", "surrogatepass"), text.encode(), "sha256").hex()
    sent["Authorization"] = f"{ALGORITHM} Credential={access.key_id},SignedHeaders={names},Signature={signature}"
    return sent
