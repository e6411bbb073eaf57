"""Whether a request is signed by a key that is known: ACS3-HMAC-SHA256 in headers, or HMAC-SHA1 among the parameters.

Facts: the vendor's pages on the V3 and the RPC signature, and what its own SDK sends. A nonce is good once.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import re
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from standin.openapi.credentials import SKEW
from standin.openapi.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from standin.openapi.credentials import Credential, Gate
    from standin.openapi.wire import Request

ALGORITHM = "ACS3-HMAC-SHA256"
#: headers that an ACS3 signature has to cover
SIGNED = frozenset(
    {"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"}
)
#: parameters that a call is signed and sent with, and that no journal keeps
NOT_BUSINESS = frozenset(
    {
        *("Action", "Version", "Format", "RegionId", "Timestamp", "AccessKeyId", "SecurityToken"),
        *("Signature", "SignatureMethod", "SignatureType", "SignatureVersion", "SignatureNonce"),
    }
)
#: parameters of the old signature
_NEEDED = ("AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp")
_PART = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]*)")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Nonces:
    """The nonces that were used, for as long as their dates could pass."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], float] = {}

    def use(self, access_key_id: str, nonce: str) -> None:
        """Use a nonce up. Raises Refused where it was used before."""
        now = self._now()
        with self._lock:
            while self._used and now - next(iter(self._used.values())) > 2 * SKEW:
                del self._used[next(iter(self._used))]
            if (access_key_id, nonce) in self._used:
                raise Refused("SignatureNonceUsed")
            self._used[access_key_id, nonce] = now


def parameters(request: Request) -> dict[str, str]:
    """Return the parameters of the query and of a form body, the form's over the query's."""
    pairs = request.parameters()
    if (request.header("Content-Type") or "").lower().startswith("application/x-www-form-urlencoded"):
        pairs += parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)
    return dict(pairs)


def verify(request: Request, gate: Gate, nonces: Nonces) -> str:
    """Return the access key that signed the request. Raises Refused."""
    if request.header("Authorization") is not None:
        return _verify_headers(request, gate, nonces)
    return _verify_parameters(request, gate, nonces)


def sign_headers(request: Request, secret: str, signed: tuple[str, ...]) -> str:
    """Return the ACS3-HMAC-SHA256 signature over these headers, in lower-case hex."""
    pairs = sorted(request.parameters())
    whole = "\n".join(
        [
            request.method,
            request.path,
            "&".join(f"{_escape(name)}={_escape(value)}" for name, value in pairs),
            "".join(f"{name}:{request.header(name) or ''}\n" for name in signed),
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    text = f"{ALGORITHM}\n{hashlib.sha256(whole.encode()).hexdigest()}"
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def sign_parameters(request: Request, secret: str) -> str:
    """Return the HMAC-SHA1 signature over all parameters but itself, in base64."""
    pairs = sorted((name, value) for name, value in parameters(request).items() if name != "Signature")
    canonical = "&".join(f"{_escape(name)}={_escape(value)}" for name, value in pairs)
    text = f"{request.method}&%2F&{_escape(canonical)}"
    return base64.b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), "sha1")).decode()


def _escape(text: str) -> str:
    return quote(text, safe="~")


def _verify_headers(request: Request, gate: Gate, nonces: Nonces) -> str:
    header = request.header("Authorization") or ""
    parts: dict[str, str] = dict(_PART.findall(header))
    signed = tuple(parts.get("SignedHeaders", "").split(";"))
    token = request.header("x-acs-security-token")
    needed = SIGNED | ({"x-acs-security-token"} if token is not None else set())
    if not header.startswith(f"{ALGORITHM} ") or not all(parts.get(name) for name in ("Credential", "Signature")):
        raise Refused("IncompleteSignature", f"expected {ALGORITHM} Credential=...,SignedHeaders=...,Signature=...")
    nonce = request.header("x-acs-signature-nonce")
    if not nonce:
        raise Refused("MissingParameter", "x-acs-signature-nonce is mandatory")
    credential = _credential(gate, parts["Credential"])
    _check_date(request.header("x-acs-date"), gate)
    if list(signed) != sorted(set(signed)) or not needed <= set(signed):
        raise Refused("IncompleteSignature", f"SignedHeaders has to list, sorted, at least {sorted(needed)}")
    if request.header("x-acs-content-sha256") != hashlib.sha256(request.body).hexdigest():
        raise Refused("SignatureDoesNotMatch", "x-acs-content-sha256 is not the hash of the body")
    _check_token(credential, token)
    expected = sign_headers(request, credential.secret, signed)
    if not hmac.compare_digest(expected.encode(), parts["Signature"].encode()):
        raise Refused("SignatureDoesNotMatch")
    nonces.use(parts["Credential"], nonce)
    return parts["Credential"]


def _verify_parameters(request: Request, gate: Gate, nonces: Nonces) -> str:
    sent = parameters(request)
    missing = [name for name in _NEEDED if not sent.get(name)]
    if missing:
        raise Refused("MissingParameter", f"{', '.join(missing)} is mandatory")
    if sent["SignatureMethod"] != "HMAC-SHA1" or sent["SignatureVersion"] != "1.0":
        raise Refused("IncompleteSignature", "expected SignatureMethod HMAC-SHA1 and SignatureVersion 1.0")
    credential = _credential(gate, sent["AccessKeyId"])
    _check_date(sent["Timestamp"], gate)
    _check_token(credential, sent.get("SecurityToken"))
    if not hmac.compare_digest(sign_parameters(request, credential.secret).encode(), sent["Signature"].encode()):
        raise Refused("SignatureDoesNotMatch")
    nonces.use(sent["AccessKeyId"], sent["SignatureNonce"])
    return sent["AccessKeyId"]


def _credential(gate: Gate, access_key_id: str) -> Credential:
    credential = gate.find(access_key_id)
    if credential is None:
        raise Refused("InvalidAccessKeyId.NotFound", f"the access key {access_key_id!r} is unknown")
    return credential


def _check_token(credential: Credential, came: str | None) -> None:
    if not hmac.compare_digest((came or "").encode(), (credential.security_token or "").encode()):
        raise Refused("InvalidSecurityToken.MismatchWithAccessKey")


def _check_date(came: str | None, gate: Gate) -> None:
    try:
        at = calendar.timegm(time.strptime(came or "", "%Y-%m-%dT%H:%M:%SZ")) if _DATE.fullmatch(came or "") else None
    except ValueError:
        at = None
    if at is None:
        raise Refused("InvalidTimeStamp.Format", f"expected YYYY-MM-DDThh:mm:ssZ, not {came}")
    if gate.stale(at):
        raise Refused("InvalidTimeStamp.Expired", f"{came} is more than 15 minutes from now")
