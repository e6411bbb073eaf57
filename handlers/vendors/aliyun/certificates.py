"""Which certificate speaks for MNS: one that lies on the vendor's own hosts, fetched over https and remembered.

The hosts: https://www.alibabacloud.com/help/en/mns/developer-reference/topic-message-http-subscription-signature. A new
certificate gets a new name (https://help.aliyun.com/document_detail/158007.html), so that each is fetched once.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from handlers.errors import BadSignature, CannotVerify
from handlers.fields import to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

Kept = TypeVar("Kept")

#: seconds that a certificate may take: MNS waits five for its answer
PATIENCE = 3.0
#: bytes of a certificate
MOST_BYTES = 65_536
#: seconds for which a certificate that could not be had is not asked for again
PAUSE = 5.0

#: certificates that are remembered, and addresses that failed
_MOST_KNOWN = 64
#: certificates that are fetched at one time
_MOST_AT_ONCE = 4
_ADDRESS = re.compile(
    r"https?://(?P<place>(?:mnstest\.oss-cn-hangzhou|mns-cert\.oss-cn-[a-z0-9-]{1,40})\.aliyuncs\.com"
    r"/(?!.*\.\.)[A-Za-z0-9._/-]{1,256})"
)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What matters of a certificate."""

    key: RSAPublicKey
    #: milliseconds UTC between which it is valid
    begins: int
    ends: int


class Certificates:
    """The certificates of MNS, by their address; safe to share between threads."""

    def __init__(self, fetch: Callable[[str], bytes], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what fetches the bytes at an https address, or raises anything, and a clock of seconds."""
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Certificate] = {}
        self._failed: dict[str, float] = {}
        self._awaited: dict[str, Future[Certificate]] = {}

    def signed(self, address: str, at: int, proof: bytes, texts: Iterable[bytes]) -> bool:
        """Tell whether the certificate at this address signed one of the texts, RSA with SHA-1, PKCS #1 v1.5.

        Raises BadSignature for what is none of the vendor's addresses, or a certificate that is not valid at that time
        (milliseconds UTC); CannotVerify where it can't be had now.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise BadSignature(
                "x-mns-signing-cert-url leads to no certificate of MNS; expected one of the vendor's hosts"
            )
        certificate = self._certificate(f"https://{found['place']}")
        if not certificate.begins <= at <= certificate.ends:
            raise BadSignature("the certificate that x-mns-signing-cert-url names is not valid at the push's Date")
        return any(_fits(certificate.key, proof, text) for text in texts)

    def _certificate(self, url: str) -> Certificate:
        """Return the certificate; of those who want it at one time, one fetches it."""
        with self._lock:
            if url in self._known:
                return self._known[url]
            awaited = self._awaited.get(url)
            if awaited is None:
                self._check_pause(url)
                own: Future[Certificate] = Future()
                self._awaited[url] = own
        if awaited is None:
            return self._fetched(url, own)
        try:
            return awaited.result(timeout=PATIENCE)
        except TimeoutError as exc:
            raise CannotVerify("the certificate of MNS takes too long to come; try again") from exc

    def _check_pause(self, url: str) -> None:
        until = self._failed.get(url)
        if until is not None and self._clock() < until:
            raise CannotVerify("the certificate of MNS could not be fetched just now; try again")
        if len(self._awaited) >= _MOST_AT_ONCE:
            raise CannotVerify("too many certificates are being fetched; try again")

    def _fetched(self, url: str, own: Future[Certificate]) -> Certificate:
        try:
            certificate = _parsed(self._fetch(url))
        except Exception as exc:  # whatever came in place of a certificate: those who wait must be told
            failure = CannotVerify(
                f"the certificate of MNS at {url} could not be fetched: {type(exc).__name__}; try again"
            )
            with self._lock:
                del self._awaited[url]
                _remember(self._failed, url, self._clock() + PAUSE)
            own.set_exception(failure)
            raise failure from exc
        with self._lock:
            del self._awaited[url]
            _remember(self._known, url, certificate)
        own.set_result(certificate)
        return certificate


def fetch_https(url: str, *, context: ssl.SSLContext | None = None, patience: float = PATIENCE) -> bytes:
    """Return what lies at an https address, following no redirect.

    Raises OSError or HTTPException for anything but an answer 200 of at most MOST_BYTES within so many seconds.
    """
    deadline = time.monotonic() + patience
    parts = urlsplit(url)
    context = context or ssl.create_default_context()
    connection = HTTPSConnection(parts.hostname or "", parts.port, timeout=patience, context=context)
    try:
        connection.request("GET", parts.path, headers={"Accept-Encoding": "identity"})
        response = connection.getresponse()
        if response.status != 200:  # noqa: PLR2004 - OK
            raise OSError(f"status {response.status}")
        body = b""
        while part := response.read1(MOST_BYTES):
            body += part
            if len(body) > MOST_BYTES:
                raise OSError(f"over {MOST_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError
        return body
    finally:
        connection.close()


def _parsed(pem: bytes) -> Certificate:
    """Read a certificate; raise ValueError, or what the library has for what it does not know."""
    # 13 MB in each process, which only an account with a topic needs.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415 - see above
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - see above

    found = load_pem_x509_certificate(pem)
    key = found.public_key()
    if not isinstance(key, RSAPublicKey):
        raise ValueError("no RSA key")  # noqa: TRY004 - it is a value of the wrong kind
    begins, ends = (to_milliseconds(moment) for moment in (found.not_valid_before_utc, found.not_valid_after_utc))
    return Certificate(key=key, begins=begins, ends=ends)


def _fits(key: RSAPublicKey, proof: bytes, text: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - as in _parsed
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - as in _parsed
    from cryptography.hazmat.primitives.hashes import SHA1  # noqa: PLC0415 - as in _parsed

    try:
        key.verify(proof, text, PKCS1v15(), SHA1())  # noqa: S303 - what the vendor signs with
    except InvalidSignature:
        return False
    return True


def _remember(memory: dict[str, Kept], url: str, value: Kept) -> None:
    """Put it in, and the oldest out where there are too many."""
    memory[url] = value
    if len(memory) > _MOST_KNOWN:
        del memory[next(iter(memory))]
