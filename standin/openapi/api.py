"""One vendor's OpenAPI, standing on loopback: made from keys and limits, entered, called, looked into, left."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from standin.openapi.aliyun import Aliyun
from standin.openapi.credentials import gate
from standin.openapi.desk import Desk
from standin.openapi.huawei import Huawei
from standin.openapi.limits import Limiter
from standin.openapi.server import Server
from standin.openapi.volcengine import Volcengine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from standin.openapi.calls import Call
    from standin.openapi.credentials import Credential, Gate
    from standin.openapi.faults import Faults
    from standin.openapi.tasks import Tasks
    from standin.openapi.wire import Vendor

#: every vendor that can be imitated
VENDORS: Mapping[str, Callable[[Gate, str | None], Vendor]] = {
    "volcengine": Volcengine,
    "aliyun": Aliyun,
    "huawei": Huawei,
}


class OpenApiStandin:
    """A vendor's OpenAPI for tests: `with OpenApiStandin(vendor="volcengine", credentials={"AK": "SK"}) as api: ...`.

    `limits` are calls per second by action, beside or instead of the documented ones; None means no limit for an
    action. `shape` chooses among the forms in which the vendor's own samples differ, see `SHAPES` of its folder.
    `now` is the time of day against which dates of signatures are held, in seconds since 1970; `clock` is what limits
    are counted by, in nanoseconds that never go back.
    Raises ValueError for an unknown vendor, shape or a limit below 1.
    """

    def __init__(  # noqa: PLR0913 - each is one thing a test may want to set
        self,
        *,
        vendor: str,
        credentials: Mapping[str, str | Credential],
        limits: Mapping[str, int | None] | None = None,
        shape: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        now: Callable[[], float] = time.time,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if vendor not in VENDORS:
            raise ValueError(f"no vendor is called {vendor!r}; there are {', '.join(VENDORS)}")
        imitation = VENDORS[vendor](gate(credentials, now), shape)
        kept = {action: limit for action, limit in {**imitation.limits, **(limits or {})}.items() if limit is not None}
        self._desk = Desk(vendor=imitation, limiter=Limiter(kept, clock), tasks=imitation.tasks)
        self._host, self._port = host, port
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        self._server = Server(self._desk, host=self._host, port=self._port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="openapi stand-in")
        self._thread.start()

    def close(self) -> None:
        """Stop listening, end what waits, and return when no thread is left."""
        if self._server is None or self._thread is None:
            return
        self._desk.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        self._server = self._thread = None

    @property
    def host(self) -> str:
        """Return `127.0.0.1:PORT`, as it stands in a Host header. Raises RuntimeError before the start."""
        if self._server is None:
            raise RuntimeError("the stand-in doesn't listen: call start(), or use it in a with statement")
        return f"{self._host}:{self._server.server_port}"

    @property
    def endpoint(self) -> str:
        """Return `http://127.0.0.1:PORT`, the account's `endpoint`."""
        return f"http://{self.host}"

    @property
    def limits(self) -> dict[str, int]:
        """Return the limits in force: calls per second and account, by action."""
        return dict(self._desk.limiter.limits)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Return the calls so far, from the oldest to the newest, those at work included."""
        return self._desk.calls.all()

    def forget_calls(self) -> None:
        """Begin the journal anew; the limits and tasks stay."""
        self._desk.calls.clear()

    @property
    def tasks(self) -> Tasks:
        """Return the tasks, to add to, look at, stop."""
        return self._desk.tasks

    @property
    def faults(self) -> Faults:
        """Return the faults that wait, to add to."""
        return self._desk.faults
