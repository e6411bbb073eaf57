"""How a topic of MNS pushes over HTTP: with a signature that a certificate at an address of the vendor's bears out.

https://www.alibabacloud.com/help/en/mns/developer-reference/topic-message-http-subscription-signature. The key is of
our own making, so that whoever checks a push must be given our certificate in the vendor's place.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from dataclasses import replace
from email.utils import format_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from standin.callbacks.callback import Callback

#: where the vendor's own certificate lies
CERTIFICATE_URL = "https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem"
#: the format of a subscription -> the Content-Type of its pushes
_TYPES = {"raw": "text/plain;charset=utf-8", "base64": "text/plain;charset=utf-8", "topic": "application/json"}
_YEARS = dt.timedelta(days=3650)


class Signer:
    """A key, and the certificate that speaks for it, in a folder: made there unless they are there."""

    def __init__(self, folder: Path, *, url: str = CERTIFICATE_URL) -> None:
        """Take the folder, and the address at which a push says that the certificate lies."""
        self._url = url
        self._key = _key_in(folder)

    def push(self, callback: Callback, target: str, *, encoding: str, at: int) -> Callback:
        """Return the message as it is pushed to this path and query at that time, milliseconds UTC."""
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - only who pushes
        from cryptography.hazmat.primitives.hashes import SHA1  # noqa: PLC0415 - as above

        # What the vendor's header holds: the base64 of hexadecimal digits.
        digest = hashlib.md5(callback.body, usedforsecurity=False).hexdigest()
        headers = {
            "content-md5": base64.b64encode(digest.encode()).decode(),
            "content-type": _TYPES.get(encoding, "text/xml;charset=utf-8"),
            "date": format_datetime(dt.datetime.fromtimestamp(at // 1000, dt.UTC), usegmt=True),
        }
        own = {
            "x-mns-request-id": digest[:24].upper(),
            "x-mns-signing-cert-url": base64.b64encode(self._url.encode()).decode(),
            "x-mns-version": "2015-06-06",
        }
        if encoding in {"raw", "base64"}:  # the format SIMPLIFIED
            own["x-mns-message-id"] = digest[:16].upper()
        lines = ["POST", *headers.values(), *sorted(f"{name}:{value}" for name, value in own.items()), target]
        proof = self._key.sign("\n".join(lines).encode(), PKCS1v15(), SHA1())  # noqa: S303 - what the vendor signs with
        signed = headers | own | {"authorization": base64.b64encode(proof).decode()}
        return replace(callback, headers=signed)


def _key_in(folder: Path) -> RSAPrivateKey:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as in push
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - as in push

    path = folder / "mns.key"
    if path.exists():
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(found, rsa.RSAPrivateKey):
            return found
    folder.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "mns.pem").write_bytes(_certificate(key))
    return key


def _certificate(key: RSAPrivateKey) -> bytes:
    from cryptography import x509  # noqa: PLC0415 - as in push
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as in push

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an MNS stand-in")])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _YEARS)
        .not_valid_after(now + _YEARS)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
