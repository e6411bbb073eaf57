"""The stand-in as a test uses it: start, look inside, arm faults, stop."""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from standin.mns.attributes import Attributes
from standin.mns.faults import Faults
from standin.mns.message import DEFAULT_PRIORITY, Draft
from standin.mns.server import Server
from standin.mns.service import Service

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from standin.mns.call import Reply
    from standin.mns.message import Peeked
    from standin.mns.queue import Queue

#: what XML 1.0 can't carry, so that no client could have sent it
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _sendable(body: str) -> str:
    if not body:
        raise ValueError("the body is empty, which the service refuses")
    if found := _NO_XML.search(body):
        raise ValueError(f"the body holds {found[0]!r}, which XML can't carry")
    return body


class MnsStandin:
    """An MNS endpoint on this machine, for as long as the `with` block lasts.

    >>> with MnsStandin(access_keys={"ak": "sk"}) as mns:
    ...     mns.create_queue("recordings", visibility_timeout=30)
    ...     mns.send("recordings", '{"Event": "FileCreated"}')
    ...     Account(mns.endpoint, "ak", "sk").get_queue("recordings")
    """

    def __init__(  # noqa: PLR0913 - everything has a default
        self,
        *,
        access_keys: Mapping[str, str],
        security_tokens: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], int] = _now_ms,
        seed: int | None = None,
        tls: ssl.SSLContext | None = None,
        most_waiting: float = float("inf"),
    ) -> None:
        """Take what the service knows; nothing listens before `start`.

        Args:
            access_keys: Each access key id with its secret.
            security_tokens: For temporary access key ids, the token that has to come along.
            host: Where to listen.
            port: 0 takes a free one.
            clock: Milliseconds since 1970; after moving it by hand call `tick`.
            seed: Fixes ids and chances; None takes the time.
            tls: Makes it an https endpoint.
            most_waiting: Long polls that may wait on one queue; one more is answered at once, as the vendor does.
        """
        seed = time.time_ns() if seed is None else seed
        self.access_keys = dict(access_keys)
        self.security_tokens = dict(security_tokens or {})
        self.faults = Faults(seed=seed)
        self.service = Service(clock=clock, rng=random.Random(seed))
        self.service.most_waiting = most_waiting
        #: requests by operation; by (operation, error code), an empty code being a success
        self.requests: Counter[str] = Counter()
        self.answers: Counter[tuple[str, str]] = Counter()
        self._count_lock = threading.Lock()
        self._request_ids = itertools.count(random.Random(seed).getrandbits(90) | 1 << 95)
        self._host, self._port, self._tls = host, port, tls
        self._server: Server | None = None

    # --- running ------------------------------------------------------------------------------------------------------
    @property
    def endpoint(self) -> str:
        """The URL to give to an MNS client; empty before `start`."""
        return self.service.endpoint

    def start(self) -> Self:
        """Listen. A port, once taken, is taken again after a stop."""
        if self._server is not None:
            raise RuntimeError(f"the stand-in listens already, at {self.endpoint}; stop it first")
        self._server = Server(self, self._host, self._port, self._tls)
        self._port = self._server.port
        self.service.endpoint = f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"
        self._server.start()
        return self

    def stop(self) -> None:
        """Close all connections and listen no more; queues and messages stay for the next start."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- looking and doing, without HTTP ------------------------------------------------------------------------------
    def create_queue(self, name: str, **attributes: Any) -> Queue:  # noqa: ANN401 - the fields of Attributes
        """Create a queue with the fields of `Attributes`, and return it."""
        self.service.create_queue(name, Attributes(**attributes))
        return self.service.queue(name)

    def send(self, queue: str, body: str, *, delay_seconds: int | None = None, priority: int = DEFAULT_PRIORITY) -> str:
        """Enqueue a body as it stands on the wire (encode it if it is to be base64); return its message id."""
        draft = Draft(body=_sendable(body), delay_seconds=delay_seconds, priority=priority)
        return self.service.queue(queue).send([draft])[0].message_id

    def send_all(self, queue: str, bodies: Sequence[str]) -> list[str]:
        """Enqueue many bodies; return their message ids."""
        return [
            one.message_id for one in self.service.queue(queue).send([Draft(body=_sendable(one)) for one in bodies])
        ]

    def messages(self, queue: str) -> list[Peeked]:
        """Return every message that is neither deleted nor expired, with its state."""
        return self.service.queue(queue).messages()

    def tick(self) -> None:
        """Make waiting polls look at the clock again, after it was moved by hand."""
        self.service.wake()

    # --- counting -----------------------------------------------------------------------------------------------------
    def count(self, operation: str, reply: Reply) -> None:
        """Note an answered request."""
        with self._count_lock:
            self.requests[operation] += 1
            self.answers[operation, reply.code] += 1

    def counters(self) -> dict[str, Any]:
        """Return requests by operation, answers by operation and code, and what became of each queue's messages."""
        with self._count_lock:
            requests, answers = dict(self.requests), dict(self.answers)
        queues = {queue.name: {**queue.tally, "waiting_polls": queue.waiting} for queue in self.service.queues()}
        return {
            "requests": requests,
            "answers": {f"{operation} {code}".strip(): times for (operation, code), times in answers.items()},
            "queues": queues,
        }

    def next_request_id(self) -> str:
        """Return the id of the next reply."""
        return f"{next(self._request_ids):024X}"
