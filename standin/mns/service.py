"""Which queues and topics an account has, and how they come and go."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from standin.mns.attributes import Attributes, check_name
from standin.mns.errors import MnsError, queue_not_exist
from standin.mns.queue import Queue
from standin.mns.topic import Topic

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT_ID = "1234567890123456"
REGION = "cn-shanghai"


class Service:
    """One account's queues and topics in one region. All methods may be called from any thread."""

    def __init__(self, *, clock: Callable[[], int], rng: random.Random) -> None:
        """Begin empty; `clock` gives milliseconds since 1970, ids come from `rng`."""
        self.clock = clock
        self.logging_bucket = ""
        #: stands in Location headers and lists; known once the server listens
        self.endpoint = ""
        #: polls that may wait on one queue; one more is answered at once, as over the vendor's dynamic cap
        self.most_waiting: float = float("inf")
        self._rng = rng
        self._lock = threading.Lock()
        self._queues: dict[str, Queue] = {}
        self._topics: dict[str, Topic] = {}

    # --- queues -------------------------------------------------------------------------------------------------------
    def create_queue(self, name: str, attributes: Attributes) -> bool:
        """Create a queue; return False if it is there already with the same attributes.

        Raises:
            MnsError: QueueAlreadyExist with other attributes; QueueNameLengthError, InvalidQueueName.
        """
        check_name(name)
        with self._lock:
            old = self._queues.get(name)
            if old is None:
                rng = random.Random(self._rng.getrandbits(64))
                self._queues[name] = Queue(name, attributes, clock=self.clock, rng=rng)
                return True
        if old.attributes != attributes:
            raise MnsError("QueueAlreadyExist", f"The queue {name} is there already, with other attributes.")
        return False

    def queue(self, name: str) -> Queue:
        """Return the queue, or raise QueueNotExist."""
        queue = self._queues.get(name)
        if queue is None:
            raise queue_not_exist(name)
        return queue

    def delete_queue(self, name: str) -> None:
        """Delete a queue with all its messages; one that is not there is no error."""
        with self._lock:
            queue = self._queues.pop(name, None)
        if queue is not None:
            queue.close()

    def queues(self) -> list[Queue]:
        """Return all queues by name."""
        with self._lock:
            return [self._queues[name] for name in sorted(self._queues)]

    def wake(self) -> None:
        """Make every waiting poll look again."""
        for queue in self.queues():
            queue.wake()

    # --- topics -------------------------------------------------------------------------------------------------------
    def create_topic(self, name: str, *, maximum_message_size: int, logging_enabled: bool) -> bool:
        """Create a topic; return False if it is there already with the same attributes.

        Raises:
            MnsError: TopicAlreadyExist with other attributes; TopicNameLengthError, InvalidArgument.
        """
        check_name(name, kind="Topic")
        now = self.clock()
        new = Topic(
            name=name,
            maximum_message_size=maximum_message_size,
            logging_enabled=logging_enabled,
            created_at=now,
            modified_at=now,
        )
        with self._lock:
            old = self._topics.setdefault(name, new)
        if (old.maximum_message_size, old.logging_enabled) != (maximum_message_size, logging_enabled):
            raise MnsError("TopicAlreadyExist", f"The topic {name} is there already, with other attributes.")
        return old is new

    def topic(self, name: str) -> Topic:
        """Return the topic, or raise TopicNotExist."""
        topic = self._topics.get(name)
        if topic is None:
            raise MnsError("TopicNotExist", f"There is no topic named {name}.")
        return topic

    def delete_topic(self, name: str) -> None:
        """Delete a topic with its subscriptions; one that is not there is no error."""
        with self._lock:
            self._topics.pop(name, None)

    def topics(self) -> list[Topic]:
        """Return all topics by name."""
        with self._lock:
            return [self._topics[name] for name in sorted(self._topics)]

    def message_id(self) -> str:
        """Return an id for a published message."""
        with self._lock:
            return f"{self._rng.getrandbits(64):016X}-2-{self.clock():X}-{self._rng.getrandbits(32):09X}"
