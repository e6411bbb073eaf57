"""Whether a request is signed by a key that is known: HMAC-SHA256 in the V4 manner, recalculated from what came.

Facts: the vendor's pages on calling the OpenAPI and on its signature, and what its own SDK sends. The key is derived
from the secret without any prefix. A port of 80 or 443 is not signed within the host.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from standin.openapi.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from standin.openapi.credentials import Credential, Gate
    from standin.openapi.wire import Request

ALGORITHM = "HMAC-SHA256"
SERVICE = "rtc"
REGIONS = frozenset({"cn-north-1", "ap-southeast-1", "ap-singapore-1"})
#: what a signature has to cover
SIGNED = frozenset({"host", "x-date", "x-content-sha256"})

_PART = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]*)")
_DATE = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True, kw_only=True)
class _Claim:
    """What the Authorization header says."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/request"


def region(request: Request) -> str | None:
    """Return the region that the credential scope names, or None."""
    try:
        return _claim(request).region
    except Refused:
        return None


def verify(request: Request, gate: Gate, known: Callable[[], None]) -> str:
    """Return the access key that signed the request; `known` refuses an action that is not here. Raises Refused."""
    claim = _claim(request)
    if claim.service != SERVICE or claim.region not in REGIONS:
        raise Refused("ServiceNotFound", f"there is no service {claim.service!r} in region {claim.region!r}")
    known()
    credential = gate.find(claim.access_key_id)
    if credential is None:
        raise Refused("InvalidAccessKey", f"the access key {claim.access_key_id!r} is unknown")
    _check_date(request, gate)
    _check_token(request, credential)
    _check_coverage(request, claim)
    expected = sign(request, credential.secret, claim.signed, claim.scope)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise Refused("SignatureDoesNotMatch")
    return claim.access_key_id


def sign(request: Request, secret: str, signed: tuple[str, ...], scope: str) -> str:
    """Return the signature of a request over these headers, in lower-case hex."""
    text = "\n".join(
        [ALGORITHM, request.header("X-Date") or "", scope, hashlib.sha256(canonical(request, signed)).hexdigest()]
    )
    key = secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def canonical(request: Request, signed: tuple[str, ...]) -> bytes:
    """Return the canonical request: method, path, sorted query, signed headers, their names, hash of the body."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in request.parameters())
    headers = "".join(f"{name}:{_header(request, name)}\n" for name in signed)
    return "\n".join(
        [
            request.method,
            request.path,
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        ]
    ).encode()


def _header(request: Request, name: str) -> str:
    value = request.header(name) or ""
    return re.sub(r":(?:80|443)\Z", "", value) if name == "host" else value


def _claim(request: Request) -> _Claim:
    header = request.header("Authorization") or ""
    parts = dict(_PART.findall(header))
    scope = parts.get("Credential", "").split("/")
    if not header.startswith(f"{ALGORITHM} ") or len(scope) != 5 or scope[4] != "request" or not all(scope):
        raise Refused("MissingRequestInfo", f"expected {ALGORITHM} Credential=KEY/YYYYMMDD/REGION/{SERVICE}/request")
    if not parts.get("Signature"):
        raise Refused("MissingSignature")
    if not parts.get("SignedHeaders"):
        raise Refused("MissingRequestInfo", "the Authorization header lacks SignedHeaders")
    return _Claim(
        access_key_id=scope[0],
        date=scope[1],
        region=scope[2],
        service=scope[3],
        signed=tuple(parts["SignedHeaders"].split(";")),
        signature=parts["Signature"],
    )


def _check_date(request: Request, gate: Gate) -> None:
    came = request.header("X-Date")
    if came is None:
        raise Refused("MissingRequestInfo", "the X-Date header is missing")
    try:
        at = calendar.timegm(time.strptime(came, "%Y%m%dT%H%M%SZ")) if _DATE.fullmatch(came) else None
    except ValueError:
        at = None
    if at is None or gate.stale(at):
        raise Refused("InvalidTimestamp", f"X-Date is {came}; expected YYYYMMDDTHHMMSSZ within 15 minutes of now")


def _check_token(request: Request, credential: Credential) -> None:
    came = request.header("X-Security-Token") or ""
    if not hmac.compare_digest(came.encode(), (credential.security_token or "").encode()):
        raise Refused("InvalidAccessKey", "X-Security-Token is not the access key's")


def _check_coverage(request: Request, claim: _Claim) -> None:
    """Refuse a signature that leaves out what it has to cover, or that is of another day or body."""
    needed = SIGNED | ({"x-security-token"} if request.header("X-Security-Token") is not None else set())
    if list(claim.signed) != sorted(set(claim.signed)) or not needed <= set(claim.signed):
        raise Refused("SignatureDoesNotMatch", f"SignedHeaders has to list, sorted, at least {sorted(needed)}")
    if not (request.header("X-Date") or "").startswith(claim.date):
        raise Refused("SignatureDoesNotMatch", "the credential scope is of another day than X-Date")
    if request.header("X-Content-Sha256") != hashlib.sha256(request.body).hexdigest():
        raise Refused("SignatureDoesNotMatch", "X-Content-Sha256 is not the hash of the body")
