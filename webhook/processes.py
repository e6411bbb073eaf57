"""Decides how the processes that run for long begin and end: all of them, a web server, a worker, a poller."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

import click

from handlers import migrate
from handlers.database import Database
from handlers.errors import DatabaseAway, ReelhookError
from handlers.vendors import VENDORS
from handlers.worker import Worker
from webhook.commands.at_hand import load_settings
from webhook.deadlines import RequestLimits
from webhook.logs import configure_logging
from webhook.metrics_folder import VARIABLE, make_metrics_folder
from webhook.server import ReelhookServer, gunicorn_options
from webhook.supervisor import Child, supervise
from webhook.welcome import account_lines, start_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed.wsgi import WSGIApplication

    from handlers.settings import Settings

log = logging.getLogger(__name__)

#: seconds between two tries to bring an absent database's tables up to date
_REST_WHILE_AWAY = 1.0


def serve(host: str | None) -> int:
    """Run web server, worker and, where there are queues, a poller until SIGTERM or SIGINT; return the exit status.

    Raises SettingsError, DatabaseAway or ReelhookError before anything is started.
    """
    host = host or _default_host()
    environ = _with_free_port(dict(os.environ), host)
    if "REELHOOK_LOG" not in environ and sys.stderr.isatty():
        environ["REELHOOK_LOG"] = "text"
    settings = _begin(environ)
    _expect_free(host, settings.port)
    _prepare(settings)
    click.echo("\n".join(start_lines(settings, host=host)))
    return supervise(_children(host, environ, polls=bool(settings.queues)))


def web(host: str | None, *, only: str | None) -> None:
    """Run the web server until SIGTERM or SIGINT, and end the process."""
    settings = _begin_alone()
    _prepare(settings)
    if settings.web_concurrency > 1:
        # Before anything imports prometheus_client, which looks for it once.
        os.environ[VARIABLE] = str(make_metrics_folder(settings.data))
    # Once, before the fork: importing takes a second of each process that does it. It opens and starts nothing.
    from webhook.app import create_app  # noqa: PLC0415 (see above)

    def make_app() -> WSGIApplication:
        return create_app(settings, only=only)

    proxies = settings.trusted_proxies
    options = gunicorn_options(
        host=host or _default_host(),
        port=settings.port,
        workers=settings.web_concurrency,
        trusted_proxies=[proxies] if isinstance(proxies, str) else [str(network) for network in proxies],
    )
    ReelhookServer(make_app, options, RequestLimits(max_body=settings.max_body)).run()


def work() -> None:
    """Run one worker until SIGTERM or SIGINT; it waits for a database that is away."""
    stop = _stop_signal()
    settings = _begin_alone()
    database = Database(settings.database_url)
    try:
        _wait_for_tables(database, settings, stop, "worker")
        Worker(database, settings, VENDORS).run(stop)
    finally:
        database.close()


def poll() -> None:
    """Fetch from all queues until SIGTERM or SIGINT; where none is configured, say so and wait."""
    stop = _stop_signal()
    settings = _begin_alone()
    if not settings.queues:
        log.info("no [queues.NAME] is configured: there is nothing to poll, waiting for SIGTERM")
        stop.wait()
        return
    from webhook.poller import Poller  # noqa: PLC0415 - its queues' SDKs are no other process's business

    lines = sum(queue.threads for queue in settings.queues.values())
    database = Database(settings.database_url, pool_size=lines + 4)
    try:
        _wait_for_tables(database, settings, stop, "poller")
        Poller(database, settings, VENDORS).run(stop)
    finally:
        database.close()


def _begin(environ: dict[str, str] | None = None) -> Settings:
    os.umask(0o077)  # database, spool and logs hold what people recorded: nobody else's to read
    settings = load_settings(environ, create=True)
    configure_logging(settings.log)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return settings


def _begin_alone() -> Settings:
    """Begin without `serve`; whoever makes the secrets shows them, once."""
    settings = _begin()
    if settings.generated:
        click.echo("This first start made these secrets; `reelhook accounts` shows them again:\n")
        click.echo("\n".join(account_lines(settings)))
    return settings


def _prepare(settings: Settings) -> None:
    """Bring the tables up to date. A database server that is away stops nothing as long as there is a spool."""
    database = Database(settings.database_url, pool_size=1)
    try:
        _bring_up_to_date(database, settings)
    except DatabaseAway as exc:
        if settings.spool is None or not settings.on_server:
            raise
        where = settings.shown_database_url
        log.warning("%s is away (%s); callbacks are kept in %s until it answers", where, exc, settings.spool)
    finally:
        database.close()


def _bring_up_to_date(database: Database, settings: Settings) -> None:
    if settings.migrate == "auto":
        migrate.upgrade(database)
    else:
        migrate.require(database)


def _wait_for_tables(database: Database, settings: Settings, stop: threading.Event, who: str) -> None:
    while not stop.is_set():
        try:
            _bring_up_to_date(database, settings)
        except DatabaseAway as exc:
            log.warning("the database is away, the %s waits: %s", who, exc)
            stop.wait(_REST_WHILE_AWAY)
        else:
            return


def _children(host: str, environ: dict[str, str], *, polls: bool) -> Sequence[Child]:
    changed = {name: value for name, value in environ.items() if os.environ.get(name) != value}
    # -P: a folder called webhook where the command is typed must not be taken for ours.
    program = [sys.executable, "-P", "-m", "webhook"]
    children = [
        Child(name="web", argv=[*program, "web", "--host", host], environment=changed),
        Child(name="worker", argv=[*program, "work"], environment=changed),
    ]
    return [*children, Child(name="poller", argv=[*program, "poll"], environment=changed)] if polls else children


def _default_host() -> str:
    """Return the loopback address, but every address where a platform says on which port it wants us."""
    return "0.0.0.0" if os.environ.get("PORT", "").strip() else "127.0.0.1"  # noqa: S104 (all that it serves asks for a secret)


def _with_free_port(environ: dict[str, str], host: str) -> dict[str, str]:
    """Replace PORT=0 by a port that is free now: what is printed at the start must be true."""
    if environ.get("PORT", "").strip() == "0":
        with _listen(host, 0) as listener:
            environ["PORT"] = str(listener.getsockname()[1])
    return environ


def _expect_free(host: str, port: int) -> None:
    """Raise ReelhookError where the web server could not listen."""
    _listen(host, port).close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise ReelhookError(f"port {port} of {host} is in use; stop what uses it, or set PORT to another") from exc
        raise ReelhookError(f"{host} port {port} can't be listened on: {exc.strerror}; see --host and PORT") from exc


def _stop_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def ask(_number: int, _frame: object) -> None:
        # In a thread of its own: the handler may have interrupted wait(), which holds the event's lock.
        threading.Thread(target=stop.set).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return stop
