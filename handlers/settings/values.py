"""How one written value is read: durations, sizes, addresses; ValueError says what was expected instead."""

from __future__ import annotations

import difflib
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

Network = IPv4Network | IPv6Network

_DURATION_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024 * 1024}
_DURATION = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,12}) ?(|B|KiB|MiB)")
_LONGEST_MS = 366 * 86_400_000
_LARGEST_BODY = 64 * 1024 * 1024
# No backslash: parsers disagree on which host follows it.
_URL = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_TOPIC_ARN = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]+:[A-Za-z0-9_.-]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
#: headers of a request that are its connection's business; names in lower case
CONNECTION_HEADERS = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te"}
) | {"trailer", "transfer-encoding", "upgrade"}
#: headers that are set for every request
OWN_HEADERS = CONNECTION_HEADERS | {"webhook-id", "webhook-signature", "webhook-timestamp"}
_SQLITE = "sqlite:///"
_POSTGRES = "postgresql+psycopg://"
_SCHEMES = {"postgres": _POSTGRES, "postgresql": _POSTGRES, "postgresql+psycopg": _POSTGRES}


def quoted(text: str) -> str:
    """Return the text in quotes, shortened where it is long."""
    return f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'  # noqa: PLR2004 - half a line


def listed(words: Iterable[str]) -> str:
    """Return the words in a row, or "none"."""
    return ", ".join(words) or "none"


def meant(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" for a word that is close to a known one, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def read_name(text: str) -> str:
    """Read the name of an account, queue, destination or storage."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{quoted(text)} is no name; expected 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit"
        )
    return text


def read_region(text: str) -> str:
    """Read the name of a vendor's region."""
    if not _REGION.fullmatch(text):
        raise ValueError(f'{quoted(text)} is no region; expected a name such as "cn-shanghai"')
    return text


def read_bucket(text: str) -> str:
    """Read the name of a bucket."""
    if not _BUCKET.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no bucket; expected its name alone: 3 to 63 letters, digits and -, . or _")
    return text


def read_topic_arn(text: str) -> str:
    """Read the ARN of a topic of SNS."""
    if not _TOPIC_ARN.fullmatch(text):
        raise ValueError(
            f'{quoted(text)} is no topic; expected its ARN, such as "arn:aws:sns:eu-west-1:123456789012:changes"'
        )
    return text


def read_header_name(text: str) -> str:
    """Read the name of an HTTP header that the settings may set."""
    if not _HEADER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no name of a header; expected letters, digits and -")
    if text.lower() in OWN_HEADERS:
        raise ValueError(f"{quoted(text)} is set for every request; leave it out")
    return text


def read_duration(text: str) -> int:
    """Read `500ms`, `15s`, `10m`, `6h` or `2d` as milliseconds; more than zero, at most 366 days."""
    match = _DURATION.fullmatch(text)
    milliseconds = int(match[1]) * _DURATION_UNITS[match[2]] if match else 0
    if not 0 < milliseconds <= _LONGEST_MS:
        raise ValueError(
            f'{quoted(text)} is no duration; expected a whole number with its unit: "500ms", "15s", "10m", "6h", "2d"'
        )
    return milliseconds


def read_size(text: str) -> int:
    """Read `1048576` or `1MiB` as bytes, 1 to 64 MiB."""
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _SIZE_UNITS[match[2]] if match else 0
    if not 0 < size <= _LARGEST_BODY:
        raise ValueError(f'{quoted(text)} is no size; expected bytes ("1048576") or "512KiB" or "1MiB", at most 64MiB')
    return size


def read_whole(text: str, least: int, most: int) -> int:
    """Read a whole number from least to most."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise ValueError(f"{quoted(text)} came; expected a whole number from {least} to {most}")
    return int(text)


def read_choice(text: str, choices: tuple[str, ...]) -> str:
    """Read one of the words."""
    if text not in choices:
        raise ValueError(f"{quoted(text)} came; expected {' or '.join(choices)}{meant(text, choices)}")
    return text


def read_network(text: str) -> Network:
    """Read an address or a network such as `10.0.0.0/8`."""
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        fitting = f"; did you mean {ip_network(text, strict=False)}?"
    except ValueError:
        fitting = ""
    raise ValueError(f'{quoted(text)} is no network; expected an address or a network such as "10.0.0.0/8"{fitting}')


def read_proxies(text: str) -> tuple[Network, ...] | Literal["*"]:
    """Read `*`, or addresses and networks separated by commas."""
    if text == "*":
        return "*"
    return tuple(read_network(part.strip()) for part in text.split(",") if part.strip())


def read_url(text: str, *, path: bool = False, query: bool = False) -> str:
    """Read an http or https address, without a slash at its end; path and query only where they are wanted.

    The text is not quoted in an error: addresses of webhooks often hold a secret.
    """
    parts = _split(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError('is no web address; expected "https://host" or "http://host"')
    if "@" in parts.netloc:
        raise ValueError("holds a user name or password; expected an address without them")
    if not path and parts.path.strip("/"):
        raise ValueError('holds a path; expected "https://host" only')
    if (parts.query and not query) or parts.fragment:
        raise ValueError('holds a "?" or "#" part; expected an address without it')
    return text if parts.query else text.rstrip("/")


def _split(text: str) -> SplitResult:
    if not _URL.fullmatch(text):
        raise ValueError("is no web address; it holds blanks, a backslash, or characters outside ASCII")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # Without the cause: it quotes the address.
        raise ValueError("is no web address; its host or port can't be read") from None
    return parts


def read_database_url(text: str) -> str:
    """Read a database's address as SQLAlchemy wants it, with psycopg for PostgreSQL and an absolute SQLite path.

    The text is never quoted in an error: it may hold a password.
    """
    scheme, separator, rest = text.partition("://")
    if scheme == "sqlite" and separator:
        return sqlite_url(_sqlite_path(text))
    if not separator or scheme not in _SCHEMES:
        came = f"the scheme {quoted(scheme)}" if separator else "no scheme"
        raise ValueError(
            f"has {came}; expected sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE (also postgres://)"
        )
    if not _is_readable(rest):
        raise ValueError("can't be taken apart; where user or password hold one of :/?#[]@ write it percent-encoded")
    return _POSTGRES + rest


def _is_readable(rest: str) -> bool:
    """Tell that what follows the scheme can be taken apart in one way only, so that the password can be hidden."""
    try:
        parts = urlsplit(_POSTGRES + rest)
        _ = parts.port
    except ValueError:
        return False
    return parts.netloc.count("@") == int("@" in rest) and not parts.fragment


def _sqlite_path(text: str) -> Path:
    path, _, query = text.removeprefix(_SQLITE).partition("?")
    if not text.startswith(_SQLITE) or path in {"", ":memory:"} or path.startswith("file:"):
        raise ValueError("names no SQLite file that several processes can share; expected sqlite:///PATH")
    if query:
        raise ValueError('holds a "?" part; SQLite is set up by Reelhook itself: expected sqlite:///PATH')
    return Path.cwd() / path


def sqlite_url(path: Path) -> str:
    """Return the address of the SQLite file at this absolute path; raise ValueError for a path it can't hold."""
    if "?" in str(path):
        raise ValueError(f'the path {path} holds a "?", which an address of SQLite can\'t; choose another folder')
    return f"{_SQLITE}{path}"


def shown_database_url(url: str) -> str:
    """Return the address without its password and parameters, to be shown to people."""
    scheme, _, rest = url.partition("://")
    netloc, slash, database = rest.partition("?")[0].partition("/")
    userinfo, at, host = netloc.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    return f"{scheme}://{user}{colon and ':***'}{at}{host}{slash}{database}"
