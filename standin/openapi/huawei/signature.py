"""Whether a request is signed by a key that is known: SDK-HMAC-SHA256, recalculated from what came.

Facts: the vendor's guide to signing API requests, and what its own SDK sends. The secret signs directly, no key is
derived; the path is decoded, encoded part by part, and ends with a slash; the host is signed with its port.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, unquote

from standin.openapi.wire import Refused

if TYPE_CHECKING:
    from standin.openapi.credentials import Gate
    from standin.openapi.wire import Request

ALGORITHM = "SDK-HMAC-SHA256"
SIGNED = frozenset({"host", "x-sdk-date"})

_PART = re.compile(r"(Access|SignedHeaders|Signature)=([^,\s]*)")
_DATE = re.compile(r"\d{8}T\d{6}Z")
_HASH = "X-Sdk-Content-Sha256"
_WRONG = "Incorrect IAM authentication information: "


def verify(request: Request, gate: Gate) -> str:
    """Return the access key that signed the request. Raises Refused."""
    header = request.header("Authorization")
    if header is None:
        _refuse("decrypt token fail" if request.header("X-Auth-Token") else "Authorization is missing")
    parts: dict[str, str] = dict(_PART.findall(header))
    if not header.startswith(f"{ALGORITHM} ") or not all(
        parts.get(name) for name in ("Access", "SignedHeaders", "Signature")
    ):
        _refuse(f"expected {ALGORITHM} Access=..., SignedHeaders=..., Signature=...")
    credential = gate.find(parts["Access"])
    if credential is None:
        _refuse("Get secretKey failed")
    _check_date(request.header("X-Sdk-Date"), gate)
    token = request.header("X-Security-Token")
    if not hmac.compare_digest((token or "").encode(), (credential.security_token or "").encode()):
        _refuse("the security token is not the access key's")
    if request.header(_HASH) not in {None, "UNSIGNED-PAYLOAD", hashlib.sha256(request.body).hexdigest()}:
        _refuse(f"{_HASH} is not the hash of the body")
    signed = tuple(parts["SignedHeaders"].split(";"))
    needed = SIGNED | ({"x-security-token"} if token is not None else set())
    if list(signed) != sorted(set(signed)) or not needed <= set(signed):
        _refuse(f"SignedHeaders has to list, sorted, at least {sorted(needed)}")
    if not hmac.compare_digest(sign(request, credential.secret, signed).encode(), parts["Signature"].encode()):
        _refuse("verify aksk signature fail")
    return parts["Access"]


def sign(request: Request, secret: str, signed: tuple[str, ...]) -> str:
    """Return the signature of a request over these headers, in lower-case hex."""
    whole = canonical(request, signed)
    text = f"{ALGORITHM}\n{request.header('X-Sdk-Date') or ''}\n{hashlib.sha256(whole.encode()).hexdigest()}"
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def canonical(request: Request, signed: tuple[str, ...]) -> str:
    """Return the canonical request."""
    path = "/".join(quote(part, safe="~") for part in unquote(request.path).split("/"))
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in request.parameters())
    return "\n".join(
        [
            request.method,
            path if path.endswith("/") else f"{path}/",
            "&".join(f"{name}={value}" for name, value in pairs),
            "".join(f"{name}:{request.header(name) or ''}\n" for name in signed),
            ";".join(signed),
            request.header(_HASH) or hashlib.sha256(request.body).hexdigest(),
        ]
    )


def _check_date(came: str | None, gate: Gate) -> None:
    try:
        at = calendar.timegm(time.strptime(came or "", "%Y%m%dT%H%M%SZ")) if _DATE.fullmatch(came or "") else None
    except ValueError:
        at = None
    if at is None:
        _refuse("X-Sdk-Date is missing or malformed; expected YYYYMMDDTHHMMSSZ")
    if gate.stale(at):
        _refuse("signature expired, X-Sdk-Date is more than 15 minutes from now")


def _refuse(why: str) -> NoReturn:
    raise Refused("APIGW.0301", f"{_WRONG}{why}")
