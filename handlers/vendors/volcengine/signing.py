"""How our own calls of Volcengine are signed: HMAC-SHA256 in the V4 manner, with a key derived from the secret.

Facts: the vendor's pages docs/6348/69828 and 69859. The derivation begins with the secret itself, without a prefix.
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

ALGORITHM = "HMAC-SHA256"
SERVICE = "rtc"
#: headers that hold what must not be shown
HIDDEN = frozenset({"Authorization", "X-Security-Token"})


def encode(pairs: Mapping[str, str]) -> str:
    """Return the query as it is sent and signed: sorted, a blank as %20."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(pairs.items()))


def sign(  # noqa: PLR0913 - each is one part of what is signed
    method: str, query: str, headers: Mapping[str, str], body: bytes, *, access: Access, region: str, at: int
) -> dict[str, str]:
    """Return the headers of a request for `/`, those of the signature among them; `at` in milliseconds UTC.

    All headers that are given are signed, Host among them.
    """
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at // 1000))
    sent = {**headers, "X-Date": date, "X-Content-Sha256": hashlib.sha256(body).hexdigest()}
    if access.token is not None:
        sent["X-Security-Token"] = access.token
    lower = {name.lower(): value.strip() for name, value in sent.items()}
    names = ";".join(sorted(lower))
    lines = "".join(f"{name}:{lower[name]}\n" for name in sorted(lower))
    whole = "\n".join([method, "/", query, lines, names, sent["X-Content-Sha256"]])
    scope = f"{date[:8]}/{region}/{SERVICE}/request"
    text = "\n".join([ALGORITHM, date, scope, hashlib.sha256(whole.encode()).hexdigest()])
    signature = hmac.digest(_key(access.secret, scope), text.encode(), "sha256").hex()
    sent["Authorization"] = (
        f"{ALGORITHM} Credential={access.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _key(secret: str, scope: str) -> bytes:
    key = secret.encode("utf-8", "surrogatepass")
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
