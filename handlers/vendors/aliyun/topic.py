"""Whether a push to `mns-topic` comes from MNS, and from the account's own topic.

Signature: https://www.alibabacloud.com/help/en/mns/developer-reference/topic-message-http-subscription-signature. RSA
with SHA-1 (PKCS #1 v1.5), by a certificate whose address comes with the push, over

    POST, Content-MD5, Content-Type, Date, the x-mns- headers in order, path and query

The page leaves out what it takes to be safe:

1. The address is a stranger's word, so only the vendor's two hosts are asked, over https whatever it says, and only for
   a push of which all else is right.
2. The body is covered by its Content-MD5 alone, which therefore must be there and fit. The vendor writes the base64 of
   the digest's hexadecimal digits; the base64 of the digest itself will do.
3. Every customer of Alibaba can have MNS push something here, signed. Whose topic it is stands in the envelope (XML or
   JSON): it must be the account's. The format SIMPLIFIED has no envelope, and needs the token in the URL; what looks
   like one there is the publisher's own words. MNS tells the format by x-mns-message-id and x-mns-message-tag, which
   only a simplified push has, and signs them (https://help.aliyun.com/document_detail/27498.html).
4. A push is tried again for a day, and whether with a new Date is not documented. So Date may lie a day back, unless
   max_age says otherwise; a push that is caught and played again is a repeat.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from handlers.errors import BadSignature
from handlers.fields import to_milliseconds
from handlers.vendor import Verified
from handlers.vendors.aliyun import mns, signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.events import Incoming
    from handlers.settings import Account
    from handlers.vendors.aliyun.certificates import Certificates

CERTIFICATE_URL = "x-mns-signing-cert-url"
#: what the signature covers and says, but for Authorization: the signature itself is kept only once it is verified, for
#: at the door `http`, and in what is refused, a header of this name holds somebody's password
HEADERS = frozenset(
    {
        CERTIFICATE_URL,
        "content-md5",
        "content-type",
        "date",
        "x-mns-message-id",
        "x-mns-message-tag",
        "x-mns-request-id",
        "x-mns-version",
    }
)

#: what only a push of the format SIMPLIFIED has
_SIMPLIFIED = ("x-mns-message-id", "x-mns-message-tag")
#: milliseconds by which two clocks may differ; MNS allows its own callers as much
_SKEW = 900_000
#: milliseconds for which MNS tries a push again (NotifyStrategy EXPONENTIAL_DECAY_RETRY)
_RETRIED_FOR = 86_400_000


class Pushes:
    """The verifier of pushes, over its certificates."""

    def __init__(self, certificates: Certificates) -> None:
        """Take what finds the key of a certificate."""
        self._certificates = certificates

    def verify(self, incoming: Incoming, account: Account) -> Verified:
        """Check all that can be checked here, and the signature last.

        Raises RefusedDelivery, naming the setting; CannotVerify where the certificate can't be had now.
        """
        secret = _check_topic(incoming, account)
        signed_at = _signed_at(incoming.headers, account, incoming.received_at)
        _check_body(incoming)
        proof = _proof(incoming.headers)
        texts = _signed_texts(incoming)
        if not self._certificates.signed(_certificate_url(incoming.headers), signed_at, proof, texts):
            raise BadSignature(
                "the signature of MNS is wrong; if pushes come through a proxy, it must leave path and query, Date, "
                "Content-Type, Content-MD5 and the x-mns- headers as they are, for MNS signs them"
            )
        return Verified(
            keys=signature.keys(incoming), secret=secret, signed_at=signed_at, signatures=frozenset({"authorization"})
        )


def _check_topic(incoming: Incoming, account: Account) -> int | None:
    """Check whose topic it is; return which of the account's URL tokens came, None where none is needed."""
    place = f"[accounts.{account.name}]"
    if account.topic_owner is None or account.topic_name is None:
        raise BadSignature(
            f"topic_owner and topic_name of {place} are not set; set them to the Alibaba Cloud account id and the name "
            "of the topic, for every customer of Alibaba can have MNS push something here"
        )
    is_simplified = any(name in incoming.headers for name in _SIMPLIFIED)
    envelope = None if is_simplified else mns.envelope_of(incoming.body)
    if envelope is None:
        return signature.token_index(incoming, account)
    if (envelope.owner, envelope.topic) != (account.topic_owner, account.topic_name):
        raise BadSignature(f"the push is of another topic; expected topic_owner and topic_name of {place}")
    return None


def _signed_at(headers: Mapping[str, str], account: Account, received_at: int) -> int:
    """Return the Date, once it is fresh enough; milliseconds UTC."""
    oldest = _RETRIED_FOR + _SKEW if account.max_age is None else account.max_age
    try:
        moment = parsedate_to_datetime(_needed(headers, "date"))
        signed_at = to_milliseconds(moment)
    except (ValueError, TypeError, IndexError, OverflowError) as exc:
        raise BadSignature("Date is no time; expected one such as Wed, 25 May 2016 10:46:14 GMT") from exc
    if not -_SKEW <= received_at - signed_at <= oldest:
        raise BadSignature(
            f"stale: Date and arrival differ by {abs(received_at - signed_at)} ms; expected at most {oldest} ms back "
            f"(max_age of [accounts.{account.name}], a day unless set) and {_SKEW} ms ahead"
        )
    return signed_at


def _check_body(incoming: Incoming) -> None:
    # MD5 is what the vendor's header holds.
    digest = hashlib.md5(incoming.body, usedforsecurity=False)
    came = _decoded(incoming.headers, "content-md5")
    fits = [hmac.compare_digest(came, digest.digest()), hmac.compare_digest(came.lower(), digest.hexdigest().encode())]
    if not any(fits):
        raise BadSignature("Content-MD5 does not fit the body: it was changed on its way, or belongs to another push")


def _proof(headers: Mapping[str, str]) -> bytes:
    proof = _decoded(headers, "authorization")
    # Of several ways to write the same bytes only one is right, so that none is another proof.
    if base64.b64encode(proof).decode() != headers["authorization"]:
        raise BadSignature("Authorization is no signature of MNS; expected base64 and nothing else")
    return proof


def _certificate_url(headers: Mapping[str, str]) -> str:
    try:
        return _decoded(headers, CERTIFICATE_URL).decode("ascii")
    except UnicodeDecodeError as exc:
        raise BadSignature(f"{CERTIFICATE_URL} is no URL in base64") from exc


def _needed(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise BadSignature(f"{name} is missing; expected a push that MNS signed, with all of its headers")
    return value


def _decoded(headers: Mapping[str, str], name: str) -> bytes:
    try:
        return base64.b64decode(_needed(headers, name), validate=True)
    except (binascii.Error, ValueError) as exc:  # ValueError: not ASCII
        raise BadSignature(f"{name} is not base64; expected a push that MNS signed") from exc


def _signed_texts(incoming: Incoming) -> list[bytes]:
    """Return the texts that MNS may have signed: its page asks for the content type in lower case, whatever came."""
    if not incoming.target:
        raise BadSignature("the path that was called is not known; expected a push that came in by HTTP")
    headers = incoming.headers
    named = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-mns-"))
    kind = headers.get("content-type", "")
    texts = [
        f"POST\n{headers['content-md5']}\n{shown}\n{headers['date']}\n{named}{incoming.target}"
        for shown in dict.fromkeys((kind, kind.lower()))
    ]
    return [text.encode("utf-8", "surrogatepass") for text in texts]
