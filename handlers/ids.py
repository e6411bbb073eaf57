"""How ids are made: a prefix and a time-ordered body, so that inserts stay at the end of an index."""

from __future__ import annotations

import os
import random
import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: two digits at a time: an id is made for each callback and each row
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_COUNTER_BITS = 80

_lock = threading.Lock()
_last_ms = 0
_last_random = 0
#: not the system's, which would let another thread go on for each
_steps = random.Random()  # noqa: S311 - ids have to differ, and are no secret
os.register_at_fork(after_in_child=_steps.seed)


def new_id(prefix: str) -> str:
    """Return an id such as `rec_01jf3q…`; later ids of one process compare greater, also within a millisecond."""
    global _last_ms, _last_random  # noqa: PLW0603 - the order within a millisecond is the process's
    now = time.time_ns() // 1_000_000
    # Before the lock, because the system lets another thread go on meanwhile. The time that was last only grows.
    fresh = secrets.randbits(_COUNTER_BITS - 1) if now > _last_ms else 0
    with _lock:
        if now > _last_ms:
            _last_ms, _last_random = now, fresh
        else:
            _last_random += 1 + _steps.getrandbits(32)
        number = (_last_ms << _COUNTER_BITS) + _last_random
    return f"{prefix}_{_base32(number)}"


def first_id(prefix: str, ms: int) -> str:
    """Return the least id that could be made at this time, in milliseconds UTC, or later."""
    return f"{prefix}_{_base32(max(ms, 0) << _COUNTER_BITS)}"


def _base32(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
