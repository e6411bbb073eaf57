"""A vendor's API that refuses two calls of one task at a time, and calls over its limits, and remembers each call.

The moment of a call is what its caller stamps on it right before it sends: this machine's monotonic clock is the same
for all processes, and on a busy machine this server would notice a call much later.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: seconds that every call takes
LATENCY = 0.02
#: API -> the most calls in any second
LIMITS = {"UpdateRecord": 60, "UpdateSegment": 150}


@dataclass
class LimitedVendor:
    """What was called."""

    port: int = 0
    #: API -> (when, which task, the call's number) of every call
    calls: dict[str, list[tuple[float, str, int]]] = field(default_factory=lambda: defaultdict(list))
    #: tasks of which two calls were under way at a time
    overlaps: list[str] = field(default_factory=list)
    #: the APIs of calls that were one too many in a second
    too_fast: list[str] = field(default_factory=list)
    _under_way: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def count(self) -> int:
        with self._lock:
            return sum(map(len, self.calls.values()))

    def call(self, api: str, task: str, number: int, at: float) -> int:
        """Take a call; return the status of its answer."""
        with self._lock:
            self.calls[api].append((at, task, number))
            # Calls that arrive late may fit in between two that came before.
            if max(self._windows(api, around=at)) > LIMITS[api]:
                self.too_fast.append(api)
                return 429
            if task in self._under_way:
                self.overlaps.append(task)
                return 409
            self._under_way.add(task)
        time.sleep(LATENCY)
        with self._lock:
            self._under_way.remove(task)
        return 200

    def busiest(self, api: str) -> int:
        """Return the most calls of any window of one second."""
        return max(self._windows(api))

    def usual(self, api: str) -> int:
        """Return the median of the calls in the seconds that begin with a call, except of the last second."""
        last = max(at for at, _, _ in self.calls[api])
        full = [
            count
            for count, (at, _, _) in zip(self._windows(api), sorted(self.calls[api]), strict=True)
            if at + 1 <= last
        ]
        return sorted(full)[len(full) // 2]

    def orders(self) -> dict[str, list[int]]:
        """Return the numbers of each task's calls, in the order that they were made in."""
        found: dict[str, list[int]] = defaultdict(list)
        for _, task, number in sorted(one for calls in self.calls.values() for one in calls):
            found[task].append(number)
        return found

    def _windows(self, api: str, *, around: float | None = None) -> list[int]:
        """Return how many calls are in the seconds that begin with a call, or in those of them that hold a moment."""
        times = sorted(at for at, _, _ in self.calls[api])
        begins = times if around is None else [at for at in times if around - 1 < at <= around]
        return [bisect_left(times, first + 1) - bisect_left(times, first) for first in begins]


@contextmanager
def limited_vendor() -> Iterator[LimitedVendor]:
    """Serve on a free port."""
    vendor = LimitedVendor()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            _, api, task, number = self.path.split("/")
            status = vendor.call(api, task, int(number), float(self.headers["X-Made-At"]))
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, *_args: object) -> None:
            """Say nothing of callers that were killed."""

    with Server(("127.0.0.1", 0), Handler) as server:
        vendor.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield vendor
        server.shutdown()
