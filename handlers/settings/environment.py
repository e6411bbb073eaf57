"""The environment variables: their values and defaults, or every sentence about what is wrong in them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from handlers.errors import SettingsError
from handlers.secrets import Secret
from handlers.settings import values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.settings.values import Network

#: every variable that is read
VARIABLES = (
    "DATABASE_URL",
    "PORT",
    "WEB_CONCURRENCY",
    "REELHOOK_API_TOKENS",
    "REELHOOK_CONFIG",
    "REELHOOK_DATA",
    "REELHOOK_LOG",
    "REELHOOK_MAX_BODY",
    "REELHOOK_MIGRATE",
    "REELHOOK_PUBLIC_URL",
    "REELHOOK_RULES",
    "REELHOOK_SPOOL",
    "REELHOOK_TRUSTED_PROXIES",
)
#: the first part of variables that are ours
PREFIX = "REELHOOK_"
#: variables of the tests, which are none of ours
TEST_PREFIX = "REELHOOK_TEST_"

_MOST_PROCESSES = 1024
_MOST_DEFAULT_PROCESSES = 8
_BEARER = re.compile(r"[\x21-\x7e]+")

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What the environment says, defaults filled in; paths are absolute."""

    #: sqlite:///... or postgresql+psycopg://...; may hold a password
    database_url: str = field(repr=False)
    #: our own folder; load() makes it where it is needed
    data: Path
    #: the SQLite file that stands in for a database that is away; None: off
    spool: Path | None
    #: where reelhook.toml is looked for
    config: Path
    #: where the rules are looked for
    rules: Path
    #: somebody has named that place, so that a file should be there
    rules_named: bool
    #: any of them opens the API and the console; empty: nothing does
    api_tokens: tuple[Secret, ...]
    #: what callback URLs begin with; no slash at its end
    public_url: str
    #: 0: any free port
    port: int
    #: web processes
    web_concurrency: int
    #: whose X-Forwarded-* headers are believed; "*": everybody's
    trusted_proxies: tuple[Network, ...] | Literal["*"]
    #: bytes of the largest callback
    max_body: int
    migrate: Literal["auto", "never"]
    log: Literal["json", "text"]

    @property
    def on_server(self) -> bool:
        """The database is a server, which several machines may share, not a file of SQLite."""
        return not self.database_url.startswith("sqlite:")

    @property
    def shown_database_url(self) -> str:
        """The database's address without password and parameters."""
        return values.shown_database_url(self.database_url)


class _Reader:
    """Reads variables one by one and notes what is wrong; an empty one counts as unset."""

    def __init__(self, environ: Mapping[str, str], problems: list[str]) -> None:
        self.environ = environ
        self._problems = problems

    def read(self, name: str, read: Callable[[str], Value], default: Value) -> Value:
        text = self.environ.get(name, "").strip()
        if not text:
            return default
        try:
            return read(text)
        except ValueError as exc:
            self._problems.append(f"{name}: {exc}")
        except SettingsError as exc:
            self._problems.extend(f"{name}{problem}" for problem in exc.problems)
        return default


def read_environment(environ: Mapping[str, str], problems: list[str]) -> Environment:
    """Read every variable; add a sentence to `problems` for each that is wrong or unknown."""
    problems.extend(_unknown(environ))
    reader = _Reader(environ, problems)
    data = reader.read("REELHOOK_DATA", _path, _path("var"))
    database_url = _database_url(reader, data, problems)
    port = reader.read("PORT", lambda text: values.read_whole(text, 0, 65_535), 8000)
    processes = 1 if database_url.startswith("sqlite:") else _default_processes()
    return Environment(
        database_url=database_url,
        data=data,
        spool=reader.read("REELHOOK_SPOOL", _spool, _own_spool(data)),
        config=reader.read("REELHOOK_CONFIG", _path, _path("reelhook.toml")),
        rules=reader.read("REELHOOK_RULES", _path, _path("rules.yaml")),
        rules_named=bool(environ.get("REELHOOK_RULES", "").strip()),
        api_tokens=reader.read("REELHOOK_API_TOKENS", lambda text: _tokens(text, environ), ()),
        public_url=reader.read("REELHOOK_PUBLIC_URL", _public_url, f"http://127.0.0.1:{port}"),
        port=port,
        web_concurrency=reader.read(
            "WEB_CONCURRENCY", lambda text: values.read_whole(text, 1, _MOST_PROCESSES), processes
        ),
        trusted_proxies=reader.read("REELHOOK_TRUSTED_PROXIES", values.read_proxies, ()),
        max_body=reader.read("REELHOOK_MAX_BODY", values.read_size, 1024 * 1024),
        migrate=reader.read("REELHOOK_MIGRATE", _migrate, "auto"),
        log=reader.read("REELHOOK_LOG", _log, "json"),
    )


def _unknown(environ: Mapping[str, str]) -> list[str]:
    ours = [name for name in VARIABLES if name.startswith(PREFIX)]
    return [
        f"{name}: unknown variable{values.meant(name, VARIABLES)}; known: {values.listed(ours)}"
        for name in sorted(environ)
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX) and name not in ours
    ]


def _database_url(reader: _Reader, data: Path, problems: list[str]) -> str:
    try:
        default = values.sqlite_url(data / "reelhook.db")
    except ValueError as exc:
        problems.append(f"REELHOOK_DATA: {exc}")
        default = values.sqlite_url(Path("/reelhook.db"))
    return reader.read("DATABASE_URL", values.read_database_url, default)


def _default_processes() -> int:
    return max(1, min(os.cpu_count() or 1, _MOST_DEFAULT_PROCESSES))


def _path(text: str) -> Path:
    return Path(os.path.abspath(text))  # noqa: PTH100 - resolve() would replace links, which may be switched later


def _own_spool(data: Path) -> Path | None:
    return data / "spool.db"


def _spool(text: str) -> Path | None:
    return None if text == "off" else _path(text)


def _public_url(text: str) -> str:
    return values.read_url(text, path=True)


def _migrate(text: str) -> Literal["auto", "never"]:
    return cast("Literal['auto', 'never']", values.read_choice(text, ("auto", "never")))


def _log(text: str) -> Literal["json", "text"]:
    return cast("Literal['json', 'text']", values.read_choice(text, ("json", "text")))


def _tokens(text: str, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """Read tokens separated by commas: references, or the tokens themselves. Raise SettingsError without any token."""
    tokens: list[Secret] = []
    problems: list[str] = []
    for index, part in enumerate(part for part in map(str.strip, text.split(",")) if part):
        try:
            tokens.append(_token(part, index, environ))
        except SettingsError as exc:
            problems.extend(f"[{index}]: {problem}" for problem in exc.problems)
    if not tokens and not problems:
        problems.append(": holds no token; expected tokens separated by commas")
    if problems:
        raise SettingsError(problems)
    return tuple(tokens)


def _token(part: str, index: int, environ: Mapping[str, str]) -> Secret:
    if part.startswith(("env:", "file:")):
        token = Secret.refer(part, environ=environ, folder=Path.cwd())
    else:
        token = Secret.literal(part, reference=f"REELHOOK_API_TOKENS[{index}]")
    if not _BEARER.fullmatch(token.reveal()):
        raise SettingsError(["holds blanks or characters outside ASCII, which no Authorization header can carry"])
    return token
