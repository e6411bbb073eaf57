"""Decides what a line of the log looks like: JSON for machines, text for people, one line each, and no query string.

Everything logs through the standard library; fields given as `extra=` become fields of the line, and so do the
context variables of structlog (`structlog.contextvars.bind_contextvars(delivery=...)`).
"""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING, Literal

import structlog
from gunicorn.glogging import Logger

from webhook.shown_path import shown_path

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from datetime import timedelta
    from typing import Any, TextIO

    from gunicorn.config import Config
    from gunicorn.http import Request
    from gunicorn.http.wsgi import Response
    from structlog.typing import Processor

#: what follows a path up to the next blank or quote: a secret may be in it
QUERY = re.compile(r"\?[^\s'\"<>]*")


def configure_logging(style: Literal["json", "text"], *, stream: TextIO | None = None) -> None:
    """Send every log record of this process to `stream` (standard error), one line each, from INFO up."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if style == "json":
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last += [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


class WithoutQueries(logging.Filter):
    """Cuts query strings out of messages that we don't write ourselves."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass, rewritten."""
        record.msg = QUERY.sub("?…", record.getMessage())
        record.args = ()
        return True


class ServerLogger(Logger):
    """gunicorn's log, as part of ours: its messages without queries, and one line for each request."""

    def setup(self, cfg: Config) -> None:
        """Pass everything on to the root logger, which `configure_logging` has set up."""
        self.cfg = cfg
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.filters.clear()
            log.setLevel(logging.INFO)
            log.propagate = True
        self.error_log.addFilter(WithoutQueries())

    def access(self, resp: Response, req: Request, environ: MutableMapping[str, Any], request_time: timedelta) -> None:
        """Log one answered request; its query string stands in no field."""
        fields = {
            "method": req.method,
            "path": shown_path(req.path or ""),
            "status": int(str(resp.status).split(" ", 1)[0]),
            "bytes": resp.sent,
            "duration_ms": round(request_time.total_seconds() * 1000, 1),
            "remote": environ.get("REMOTE_ADDR", "-"),
        }
        if "reelhook.delivery" in environ:
            fields["delivery"] = environ["reelhook.delivery"]
        self.access_log.info("%s %s %s", fields["method"], fields["path"], fields["status"], extra=fields)
