"""Where rows are kept: one database, on SQLite or PostgreSQL, and how long anybody waits for it."""

from __future__ import annotations

import logging
import sqlite3
import time
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from handlers.errors import BrokenOff, DatabaseAway
from handlers.write_lock import WriteLock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from sqlalchemy import Connection, Engine

Given = ParamSpec("Given")
Result = TypeVar("Result")

_log = logging.getLogger(__name__)

#: seconds that a process waits for SQLite's write lock before the database counts as away
LOCK_PATIENCE = 2.0
#: seconds that the keeping of a delivery may take on a database server: vendors wait five at the most
KEEP_PATIENCE = 1.0
#: seconds that a question or a worker's batch may take
WORK_PATIENCE = 30.0
_CONNECT_PATIENCE = 2
#: how SQLite is set up; the last comes last because the write lock is the queue, and the others may have to wait
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "cache_size=-65536",
    "temp_store=MEMORY",
    "journal_size_limit=67108864",
    "busy_timeout=100",
)
#: how a session on a server is set up: a machine that dies in a transaction must not hold its locks for hours
_SESSION = (
    "SET synchronous_commit = on",
    "SET TIME ZONE 'UTC'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET idle_in_transaction_session_timeout = '30s'",
    "SET tcp_keepalives_idle = 10",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)
#: what a server says where it undoes a transaction for the sake of another: they waited for each other
_BROKEN_OFF = frozenset({"40001", "40P01"})
#: how often a transaction that was undone so is made in all
_MOST_TIMES = 4
#: seconds for one answer outside any transaction: the pool's ping and its roll-back
_IDLE_PATIENCE = 3.0


class PatientConnection(psycopg.Connection[Any]):
    """A PostgreSQL connection that gives up at a deadline even where the server answers nothing at all."""

    #: time.monotonic() after which every wait ends; None leaves each wait its own few seconds
    deadline: float | None = None

    def wait(self, gen: Generator[Any, Any, Any], interval: float = 0.05, timeout: float | None = None) -> Any:  # noqa: ANN401 - any value
        """Wait for the server, at most until the deadline; then close and raise OperationalError."""
        now = time.monotonic()
        until = now + _IDLE_PATIENCE if self.deadline is None else self.deadline
        left = min(max(until - now, 0.001), timeout or until)
        try:
            return super().wait(gen, interval=interval, timeout=left)
        except psycopg.Error as exc:
            # psycopg's own time-out has no class of its own in public; the server's words have a state.
            if exc.sqlstate is not None or time.monotonic() < now + left:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError("the server did not answer in time") from exc


class Database:
    """One database, opened on first use, shared by the threads of a process."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        """Take a URL that settings have normalised; connect to nothing yet."""
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._file: tuple[int, int] | None = None
        if self.is_sqlite:
            self.engine = _sqlite_engine(self.url.render_as_string(hide_password=False), pool_size)
            self.write_lock = WriteLock(Path(f"{self.url.database}.lock"))
        else:
            self.engine = _postgres_engine(self.url.render_as_string(hide_password=False), pool_size)

    @contextmanager
    def read(self, *, patience: float = WORK_PATIENCE) -> Iterator[Connection]:
        """Open a transaction that only reads. Raise DatabaseAway when there is no answer in `patience` seconds."""
        self._follow_file()
        with _away(), self.engine.connect() as connection:
            set_deadline(connection, patience)
            try:
                with connection.begin():
                    yield connection
            finally:
                if not connection.invalidated:
                    set_deadline(connection, None)

    @contextmanager
    def write(self, *, patience: float = WORK_PATIENCE, lock_patience: float = LOCK_PATIENCE) -> Iterator[Connection]:
        """Open a transaction that writes, alone among all processes on SQLite.

        Raise DatabaseAway when the write lock or an answer does not come in time.
        """
        self._follow_file()
        with _away(), self.engine.connect() as connection, self.written_by(connection, patience, lock_patience):
            yield connection

    @contextmanager
    def written_by(self, connection: Connection, patience: float, lock_patience: float) -> Iterator[None]:
        """Make one writing transaction on a connection that the caller holds."""
        set_deadline(connection, patience)
        try:
            if self.is_sqlite:
                connection = connection.execution_options(sqlite_begin="BEGIN IMMEDIATE")
                with self.write_lock.held(lock_patience), _wrapped(), connection.begin():
                    yield
            else:
                with connection.begin():
                    yield
        finally:
            if not connection.invalidated:
                set_deadline(connection, None)

    @contextmanager
    def answering(self, connection: Connection, patience: float) -> Iterator[None]:
        """Give statements that are transactions of their own a deadline."""
        set_deadline(connection, patience)
        try:
            yield
        finally:
            if not connection.invalidated:
                set_deadline(connection, None)

    def connect(self, *, autocommit: bool) -> Connection:
        """Open a connection that the caller keeps and closes; raise DatabaseAway if there is no answer."""
        self._follow_file()
        with _away():
            connection = self.engine.connect()
            try:
                return connection.execution_options(isolation_level="AUTOCOMMIT") if autocommit else connection
            except BaseException:
                connection.close()
                raise

    def has_moved(self) -> bool:
        """Tell whether another file, or none, lies where SQLite's was opened: what is written now would be lost."""
        return self._file is not None and self._file != self._identity()

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    def _follow_file(self) -> None:
        """Let go of a SQLite file that was moved away or replaced, and open what lies there now."""
        if not self.is_sqlite:
            return
        if self.has_moved():
            _log.error("%s is another file now, or gone; it is opened anew", self.url.database)
            self.engine.dispose()
            self._file = None
        self._file = self._file or self._identity()

    def _identity(self) -> tuple[int, int] | None:
        try:
            told = Path(self.url.database or "").stat()
        except OSError:
            return None
        return (told.st_dev, told.st_ino)


def once_more(work: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function that makes one transaction make it again where the server undid it for the sake of another."""

    @wraps(work)
    def insisting(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        for _ in range(_MOST_TIMES - 1):
            with suppress(BrokenOff):
                return work(*args, **kwargs)
        return work(*args, **kwargs)

    return insisting


def set_deadline(connection: Connection, patience: float | None) -> None:
    """Let every wait of this connection end `patience` seconds from now; None lifts the limit."""
    raw = connection.connection.driver_connection
    if isinstance(raw, PatientConnection):
        raw.deadline = None if patience is None else time.monotonic() + patience


@contextmanager
def _away() -> Iterator[None]:
    """Turn what means "no answer" into DatabaseAway; leave what the database refused as it is."""
    try:
        yield
    except PoolTimeout as exc:
        raise DatabaseAway(f"no free connection to the database: {exc}") from exc
    except DBAPIError as exc:
        if getattr(exc.orig, "sqlstate", None) in _BROKEN_OFF:
            raise BrokenOff from exc
        if means_away(exc):
            raise DatabaseAway(f"the database is away: {exc.orig}") from exc
        raise


@contextmanager
def _wrapped() -> Iterator[None]:
    """Turn an error of statements that went to SQLite's driver directly into what SQLAlchemy makes of it."""
    try:
        yield
    except sqlite3.Error as exc:
        raise DBAPIError.instance(None, None, exc, sqlite3.Error) from exc


def refuses_row(exc: DBAPIError) -> bool:
    """Tell a row that the database can't hold from a database that takes none now: no tables, no rights, no space."""
    sqlstate = getattr(exc.orig, "sqlstate", None) or ""
    return isinstance(exc, DataError | IntegrityError) or sqlstate[:2] in {"21", "54", "P0"}


def means_away(exc: DBAPIError) -> bool:
    """Tell a database that can't be reached or can't write from one that refuses a row or a statement."""
    if exc.connection_invalidated:
        return True
    if refuses_row(exc):
        return False
    if isinstance(exc.orig, psycopg.Error):
        sqlstate = exc.orig.sqlstate or ""
        return not sqlstate or sqlstate[:2] in {"08", "25", "40", "53", "55", "57", "58", "F0"}
    return isinstance(exc, OperationalError | InterfaceError) and isinstance(exc.orig, sqlite3.Error)


def _sqlite_engine(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=64,
        connect_args={"timeout": LOCK_PATIENCE},
        hide_parameters=True,  # an error's text goes into the log, and rows don't belong there
    )

    @event.listens_for(engine, "connect")
    def prepare(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None
        for pragma in _PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))

    return engine


def _postgres_engine(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=24,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,
        creator=lambda: _connect(url),
    )

    @event.listens_for(engine, "connect")
    def prepare(raw: PatientConnection, _record: object) -> None:
        for statement in _SESSION:
            raw.execute(statement)
        raw.commit()
        # A killed client's waiting statement may otherwise commit after its successor has looked; the server's
        # version or platform may not know it.
        with suppress(psycopg.errors.DataError, psycopg.errors.UndefinedObject):
            raw.execute("SET client_connection_check_interval = 1000")
        if raw.info.transaction_status == TransactionStatus.INERROR:
            raw.rollback()
        raw.commit()

    return engine


def _connect(url: str) -> PatientConnection:
    parsed = make_url(url)
    options = dict(parsed.query)
    options.setdefault("connect_timeout", str(_CONNECT_PATIENCE))
    options.setdefault("application_name", "reelhook")
    options.setdefault("client_encoding", "UTF8")
    options.setdefault("tcp_user_timeout", str(int(WORK_PATIENCE * 1000)))
    plain = parsed.set(drivername="postgresql", query=options)
    return PatientConnection.connect(plain.render_as_string(hide_password=False))
