"""What a URL tells of the place of a file: storage, bucket, region and key, by the pattern of its host alone.

Nothing is guessed and nothing is fetched: a URL arrives in a callback, and whoever sent it chose its host.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_to_bytes

from handlers.errors import UnreadableDelivery

if TYPE_CHECKING:
    from collections.abc import Iterable

StorageKind = Literal["oss", "tos", "obs", "s3"]

#: what every storage allows a key at most, in bytes of UTF-8
MAX_KEY = 1024
#: what a host name has at most (RFC 1035)
MAX_HOST = 253

_DEFAULT_PORTS = {"http": 80, "https": 443}

# A region begins with a continent or country, so that `accelerate` or `website-…` in its place is none.
_REGION = r"(?P<region>[a-z]{2,4}(?:-[a-z0-9]+)+?)"
# OSS and TOS allow no dot in a bucket's name; with one, `b.s3.oss-…` would read as the bucket `b.s3`.
_BUCKET = r"(?P<bucket>[a-z0-9][a-z0-9-]{1,61}[a-z0-9])"
_DOTTED = r"(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])"
_HUAWEI = r"myhuaweicloud\.(?:com|eu)"
_AMAZON = r"amazonaws\.com(?:\.cn)?"
_S3_IN_REGION = rf"s3(?:\.dualstack\.|[.-]){_REGION}\.{_AMAZON}"

#: hosts that begin with the bucket. Where there is no region group, the host does not tell the region
_VIRTUAL: tuple[tuple[StorageKind, str], ...] = (
    ("oss", rf"{_BUCKET}\.(?:s3\.)?oss-{_REGION}(?:-internal)?\.aliyuncs\.com"),
    ("oss", rf"{_BUCKET}\.(?:s3\.)?oss-accelerate(?:-overseas)?\.aliyuncs\.com"),
    ("oss", rf"{_BUCKET}\.{_REGION}\.oss\.aliyuncs\.com"),  # dual-stack
    ("oss", rf"{_BUCKET}\.[a-z0-9-]+-internal\.oss-data-acc\.aliyuncs\.com"),  # names a zone, not a region
    ("tos", rf"{_BUCKET}\.tos-(?:s3-)?{_REGION}\.i?volces\.com"),
    ("obs", rf"{_DOTTED}\.obs(?:-website)?\.{_REGION}\.{_HUAWEI}"),
    ("s3", rf"{_DOTTED}\.{_S3_IN_REGION}"),
    ("s3", rf"{_DOTTED}\.s3\.amazonaws\.com"),
    ("s3", rf"{_BUCKET}\.s3-accelerate(?:\.dualstack)?\.amazonaws\.com"),
)
#: hosts whose path begins with the bucket; OSS and TOS serve none such
_PATH_STYLE: tuple[tuple[StorageKind, str], ...] = (
    ("obs", rf"obs\.{_REGION}\.{_HUAWEI}"),
    ("s3", _S3_IN_REGION),
    ("s3", r"s3\.amazonaws\.com"),
)


@dataclass(frozen=True, kw_only=True)
class Location:
    """The place that a URL names; kind, bucket, region and key are None where its host does not tell them."""

    kind: StorageKind | None = None
    bucket: str | None = None
    region: str | None = None
    #: percent-decoded once, otherwise verbatim
    key: str | None = None
    #: without user, query and fragment, where secrets stand
    url: str
    #: lower case, with the port where it is not the scheme's own
    host: str
    #: what follows the host's slash, percent-decoded once
    path: str

    @property
    def locator(self) -> str:
        """Return the file's one name, the same for every way to write its URL: `oss:bucket/key`, or `url:host/path`."""
        if self.kind is None:
            return f"url:{self.host}/{self.path}"
        return f"{self.kind}:{self.bucket}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """A URL's parts; the path as it came, the host in lower case."""

    scheme: str
    host: str
    port: int | None
    path: str

    @property
    def place(self) -> str:
        """Return host and port, as they stand in a URL."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


def locate(url: str) -> Location:
    """Take a callback's URL apart.

    The key is percent-decoded exactly once as UTF-8; `+`, `..`, double and leading slashes stay as they are.

    Raises UnreadableDelivery for what is no http or https URL of an object; its text repeats nothing of the
    URL, which may hold a password or a signature.
    """
    parts = _split(url)
    path = _decoded(parts.path[1:])
    kind, bucket, region, key = _object(parts.host, parts.path[1:])
    name = path if key is None else key
    if not name:
        raise UnreadableDelivery("expected the URL of an object, it has no path after its host or bucket")
    if len(name.encode()) > MAX_KEY:
        raise UnreadableDelivery(f"the key is {len(name.encode())} bytes long, expected at most {MAX_KEY}")
    clean = f"{parts.scheme}://{parts.place}{parts.path}"
    return Location(kind=kind, bucket=bucket, region=region, key=key, url=clean, host=parts.place, path=path)


def _split(url: str) -> _Parts:
    text = url.strip(" \t\r\n")
    # Parsers disagree on these, so that one would check a host and another call it.
    if re.search(r"[\s\\\x00-\x20\x7f-\x9f\ud800-\udfff]", text):
        raise UnreadableDelivery("the URL holds white space, a backslash or a control character, expected none")
    found = re.fullmatch(r"(https?)://([^/?#]*)([^?#]*).*", text, re.IGNORECASE)
    if not found:
        raise UnreadableDelivery("expected a URL that begins with http:// or https://")
    scheme, authority, path = found[1].lower(), found[2], found[3]
    if "@" in authority:
        raise UnreadableDelivery("the URL names a user before its host, expected none")
    host, port = _host_and_port(authority)
    return _Parts(scheme=scheme, host=host, port=None if port == _DEFAULT_PORTS[scheme] else port, path=path)


def _host_and_port(authority: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?", authority.lower())
    if not found:
        raise UnreadableDelivery("the URL's host is no host name of ASCII letters, digits, hyphens and dots")
    port = int(found[2]) if found[2] else None
    if port is not None and not 1 <= port <= 65535:  # noqa: PLR2004 - TCP's range
        raise UnreadableDelivery(f"the URL's port is {port}, expected 1 to 65535")
    return _host(found[1]), port


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(text[1:-1])}]"
        except ValueError as exc:
            raise UnreadableDelivery("the URL's host stands in brackets, but is no IPv6 address") from exc
    host = text.removesuffix(".")
    if len(host) > MAX_HOST:
        raise UnreadableDelivery(f"the URL's host is {len(host)} characters long, expected at most {MAX_HOST}")
    if not all(re.fullmatch(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", label) for label in host.split(".")):
        raise UnreadableDelivery("the URL's host has a label that is empty, too long, or begins or ends with a hyphen")
    return host


def _object(host: str, path: str) -> tuple[StorageKind | None, str | None, str | None, str | None]:
    """Return kind, bucket, region and key of a raw path at a known host; else four times None."""
    if virtual := _match(host, _VIRTUAL):
        kind, found = virtual
        return kind, found["bucket"], found.get("region"), _decoded(path)
    if style := _match(host, _PATH_STYLE):
        kind, found = style
        bucket, _, key = path.partition("/")
        if re.fullmatch(_DOTTED, bucket):
            return kind, bucket, found.get("region"), _decoded(key)
    return None, None, None, None


def _match(host: str, patterns: Iterable[tuple[StorageKind, str]]) -> tuple[StorageKind, dict[str, str]] | None:
    for kind, pattern in patterns:
        if found := re.fullmatch(pattern, host):
            return kind, found.groupdict()
    return None


def _decoded(raw: str) -> str:
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as exc:
        raise UnreadableDelivery("the URL's percent-escapes are no UTF-8") from exc
    if "\0" in text:
        raise UnreadableDelivery("the URL's path holds a NUL, which can't be stored")
    return text
