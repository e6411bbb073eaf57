"""Decides how gunicorn runs Reelhook: every option stands here, none comes from gunicorn's environment variables."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from gunicorn.app.base import BaseApplication

from webhook.deadlines import DeadlineThreadWorker, RequestLimits
from webhook.logs import ServerLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from _typeshed.wsgi import WSGIApplication
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

#: the file system in memory where Linux has one: the worker's heartbeat must not wait for a disk
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (gunicorn makes a nameless file there)
#: connections that one process keeps open; each costs a file descriptor
CONNECTIONS = 512


def gunicorn_options(  # noqa: PLR0913 (one parameter for each thing that may differ between two servers)
    *,
    host: str,
    port: int,
    workers: int = 1,
    threads: int = 32,
    keepalive: int = 75,
    trusted_proxies: Sequence[str] = (),
) -> dict[str, object]:
    """Return gunicorn's options by name.

    Args:
        host: address to listen on; an IPv6 address without brackets.
        port: 0 to 65535; 0 lets the system choose.
        workers: processes, 1 or more. With SQLite exactly 1: more fight over one lock.
        threads: for each process, 16 to 64.
        keepalive: seconds that an idle connection stays open. Longer than a proxy's own idle time (60 s at most of
            them), because a callback sent on a connection that we are just closing is lost.
        trusted_proxies: addresses or networks whose X-Forwarded-Proto is believed.

    """
    return {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": workers,
        "threads": threads,
        "worker_class": DeadlineThreadWorker,
        "worker_connections": max(threads * 4, min(CONNECTIONS, _open_files() // 2)),
        "worker_tmp_dir": str(SHARED_MEMORY) if os.access(SHARED_MEMORY, os.W_OK) else None,
        "keepalive": keepalive,
        "timeout": 30,
        "graceful_timeout": 25,  # below the 30 s after which platforms kill
        "max_requests": 0,
        "preload_app": False,  # database connections and metrics belong to one process
        "limit_request_line": 8190,  # signed query strings are long
        "forwarded_allow_ips": ",".join(trusted_proxies),
        "proxy_allow_ips": ",".join(trusted_proxies),
        "http_parser": "python",
        "control_socket_disable": True,
        "logger_class": ServerLogger,
        "accesslog": "-",
        "errorlog": "-",
        "loglevel": "info",
        "proc_name": "reelhook",
        "child_exit": _forget_metrics,
    }


class ReelhookServer(BaseApplication):
    """gunicorn, running one WSGI application with our options and limits.

    `run()` doesn't return: it ends the process, with status 0 after SIGTERM. Whatever the process started as a child
    before is reaped by gunicorn: start nothing beside it.
    """

    def __init__(
        self,
        make_app: Callable[[], WSGIApplication],
        options: Mapping[str, object],
        limits: RequestLimits | None = None,
    ) -> None:
        """Run what `make_app` returns; it is called once in every worker process, after the fork."""
        self._make_app = make_app
        self._options = dict(options)
        self.limits = limits or RequestLimits()
        super().__init__(prog="reelhook")

    def load_config(self) -> None:
        """Take our options; what isn't among them has gunicorn's default."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:  # type: ignore[override] # the stubs know another shape of start_response
        """Make the application of one worker process."""
        return self._make_app()


def _open_files() -> int:
    """Return how many files this process may have open, after asking for as many as are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS * 4
    if soft < wanted and (hard == resource.RLIM_INFINITY or hard > soft):
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


def _forget_metrics(_: Arbiter, worker: Worker) -> None:
    """Drop the gauges of a worker that has ended (Prometheus' multi-process mode)."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return
    # Not above: prometheus_client decides when it is imported whether several processes share its values, and whoever
    # runs this server sets that variable only afterwards.
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - only then

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call] # not annotated there
