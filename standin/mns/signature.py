"""Whether a request is signed as the queue service wants it.

The scheme is that of the vendor's page "Request signature" and of aliyun-mns-sdk 1.3.0: HMAC-SHA1 over method,
Content-MD5, Content-Type, Date, the sorted `x-mns-*` headers and the path with its query as sent. Content-MD5 is the
base64 of the *hexadecimal* digest.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from standin.mns.errors import MnsError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: how far the caller's clock may be off, either way
MAX_SKEW_MS = 15 * 60 * 1000
VERSION = "2015-06-06"


def check(  # noqa: PLR0913 - what a signature covers
    *,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    access_keys: Mapping[str, str],
    security_tokens: Mapping[str, str],
    now_ms: int,
) -> None:
    """Return if the request is authentic.

    Args:
        method: As sent.
        target: Path and query, as sent.
        headers: Names in lower case.
        body: As sent.
        access_keys: Each access key id with its secret.
        security_tokens: For temporary access key ids, the token that has to come along.
        now_ms: The server's time.

    Raises:
        MnsError: With the vendor's code for what is wrong.
    """
    key_id, signature = _authorization(headers.get("authorization"))
    _check_date(headers.get("date"), now_ms)
    if headers.get("x-mns-version") != VERSION:
        raise MnsError("InvalidArgument", f"x-mns-version is {headers.get('x-mns-version')!r}, expected {VERSION}.")
    secret = access_keys.get(key_id)
    if secret is None:
        raise MnsError("InvalidAccessKeyId", f"The access key id {key_id[:64]} is not known here.")
    expected = sign(secret, method=method, target=target, headers=headers)
    if not hmac.compare_digest(signature.encode(), expected.encode()):
        raise MnsError("SignatureDoesNotMatch", "The signature is not the one that this request and its key give.")
    _check_token(headers.get("security-token", ""), security_tokens.get(key_id, ""))
    _check_digest(headers.get("content-md5"), body)


def sign(secret: str, *, method: str, target: str, headers: Mapping[str, str]) -> str:
    """Return the signature (base64) that goes behind `MNS <access key id>:`; header names are in lower case."""
    ours = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-mns-"))
    lead = [headers.get(name, "") for name in ("content-md5", "content-type", "date")]
    text = "\n".join([method, *lead, f"{ours}{target}"])
    # The vendor's algorithm is HMAC-SHA1.
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


def _authorization(value: str | None) -> tuple[str, str]:
    if not value:
        raise MnsError("MissingAuthorizationHeader", "The request has no Authorization header.")
    scheme, _, credentials = value.partition(" ")
    key_id, colon, signature = credentials.partition(":")
    if scheme != "MNS" or not (key_id and colon and signature):
        raise MnsError(
            "InvalidAuthorizationHeader", "Authorization is not of the form MNS <access key id>:<signature>."
        )
    return key_id, signature


def _check_date(value: str | None, now_ms: int) -> None:
    if not value:
        raise MnsError("MissingDateHeader", "The request has no Date header.")
    sent_ms = _milliseconds(value)
    if sent_ms is None:
        raise MnsError("InvalidDateHeader", f"Date is {value[:64]!r}, expected the form Mon, 01 Jan 2024 00:00:00 GMT.")
    if abs(now_ms - sent_ms) > MAX_SKEW_MS:
        raise MnsError("TimeExpired", f"Date is {value}, which is more than 15 minutes off the server's time.")


@functools.lru_cache(maxsize=256)
def _milliseconds(date: str) -> int | None:
    if not date.endswith(" GMT"):
        return None
    try:
        return int(parsedate_to_datetime(date).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _check_token(sent: str, expected: str) -> None:
    if expected and not hmac.compare_digest(sent.encode(), expected.encode()):
        raise MnsError(
            "AccessDenied", "The access key id is a temporary one, and its security-token header is missing or wrong."
        )


def _check_digest(sent: str | None, body: bytes) -> None:
    if sent is None:
        return
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if not hmac.compare_digest(sent.encode(), base64.b64encode(digest.encode())):
        raise MnsError("InvalidDegist", "Content-MD5 is not the base64 of the body's hexadecimal MD5.")
