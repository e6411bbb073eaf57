"""What becomes of deliveries that were turned away: visible with the reason, within a budget, releasable if whole.

Refusing is what an attacker can make us do, so it is written off the hot path, at a bounded rate, and each account
and reason has its own bytes: what is over them pushes out its own oldest. What was pulled from a queue is set aside
here before it is deleted there, and is pushed out by nothing; see asides.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from handlers import tables
from handlers.errors import DatabaseAway, NotReleasable, UnreadableDelivery
from handlers.events import Delivery, Incoming
from handlers.fields import storable
from handlers.ids import new_id
from handlers.inbox import entry_of, useful_headers
from handlers.inbox.asides import Asides
from handlers.keeping.deliveries import Accepted, keep, pack_headers, unpack_headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from handlers.database import Database
    from handlers.errors import RefusedDelivery
    from handlers.settings import Settings
    from handlers.vendor import Vendor

_log = logging.getLogger(__name__)

#: bytes that the refusals of one account and reason may take
BUDGET = 4 * 1024 * 1024
#: refusals of one account and reason that are written in one second; the others are only counted
_RATE = 20
#: refusals that may wait to be written, and their bytes; more are only counted
_WAITING = 256
_WAITING_BYTES = 8 * 1024 * 1024
#: bytes of a body that is read to find out whether it is well-formed; a longer one is kept whole unread, for reading a
#: stranger's mebibyte takes a second in which the doors of this process wait
_MOST_READ = 16_384
#: characters of a wrong name that are shown
_MOST_NAME = 64
#: what a refusal costs beside its headers and body
_ROW_BYTES = 256
_PAUSE = 0.2


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What was turned away, and why."""

    incoming: Incoming
    #: a word, as a RefusedDelivery has one
    reason: str
    detail: str


class Refusals:
    """The writer of one process's refusals."""

    def __init__(self, database: Database, vendors: Mapping[str, Vendor], *, budget: int = BUDGET) -> None:
        """Take where to write, what can tell a well-formed delivery, and the bytes for each account and reason."""
        self._database = database
        self._vendors = vendors
        self._budget = budget
        self._asides = Asides(database)
        self._waiting: queue.Queue[Refused | None] = queue.Queue(_WAITING)
        self._written: dict[tuple[str, str, str], int] = defaultdict(int)
        self._second = 0
        self._bytes = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)

    def start(self) -> None:
        """Write in the background from now on."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits and end."""
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._waiting.put(None, timeout=1)
            self._thread.join(timeout=5)

    def record(self, incoming: Incoming, refused: RefusedDelivery, *, came: str | None = None) -> None:
        """Remember a refusal if there is room, with what came instead of a name; never wait, never raise."""
        detail = str(refused) if came is None else f"{refused}; the URL named {came[:_MOST_NAME]!a}"
        with self._lock:
            if not self._has_room((incoming.vendor, incoming.account, refused.reason), len(incoming.body)):
                return
            try:
                self._waiting.put_nowait(Refused(incoming=incoming, reason=refused.reason, detail=detail))
                self._bytes += len(incoming.body)
            except queue.Full:
                _log.debug("too many refusals wait; this one is only counted")

    def set_aside(self, worn: Sequence[tuple[str, Refused]]) -> list[bool]:
        """Write pulled messages whole before returning, each under its name; tell for each whether it may be deleted.

        It may not where the bytes of its account are used up. Raises DatabaseAway where nothing can be written.
        """
        return self._asides.put([self._row(refused, whole=True) | {"set_aside": name} for name, refused in worn])

    def _has_room(self, place: tuple[str, str, str], size: int) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._written.clear()
        self._written[place] += 1
        return self._written[place] <= _RATE and self._bytes + size <= _WAITING_BYTES

    def _run(self) -> None:
        while True:
            batch, is_over = self._take()
            try:
                if batch:
                    self._write(batch)
            except DatabaseAway as exc:
                _log.info("refusals could not be written: %s", exc)
            except Exception:  # noqa: BLE001 - what is refused must not end the refusing
                _log.exception("refusals could not be written")
            if is_over:
                return
            time.sleep(_PAUSE)

    def _take(self) -> tuple[list[Refused], bool]:
        batch = []
        first = self._waiting.get()
        while first is not None:
            batch.append(first)
            try:
                first = self._waiting.get_nowait()
            except queue.Empty:
                return self._taken(batch), False
        return self._taken(batch), True

    def _taken(self, batch: list[Refused]) -> list[Refused]:
        with self._lock:
            self._bytes -= sum(len(refused.incoming.body) for refused in batch)
        return batch

    def _write(self, batch: Sequence[Refused]) -> None:
        rows = [self._row(refused) for refused in batch]
        with self._database.write() as connection:
            connection.execute(insert(tables.refusals), rows)
            for place in sorted({(row["vendor"], row["account"], row["reason"]) for row in rows}):
                _trim(connection, *place, self._budget)

    def _row(self, refused: Refused, *, whole: bool = False) -> dict[str, Any]:
        incoming = refused.incoming
        vendor = self._vendors.get(incoming.vendor)
        headers = pack_headers(useful_headers(incoming, vendor.proofs if vendor else ()))
        body = incoming.body if whole or self._is_well_formed(incoming) else None
        return {
            "id": new_id("rfs"),
            "account": incoming.account,
            "vendor": incoming.vendor,
            "door": incoming.door,
            "reason": refused.reason,
            "detail": storable(refused.detail),
            "received_at": incoming.received_at,
            "headers": headers,
            "body": body,
            "size_bytes": _ROW_BYTES + len(headers) + len(body or b""),
        }

    def _is_well_formed(self, incoming: Incoming) -> bool:
        """Tell a delivery that would have been read, had it been authentic, or may have: it may be released later."""
        vendor = self._vendors.get(incoming.vendor)
        if vendor is None or not incoming.body:
            return False
        if len(incoming.body) > _MOST_READ:
            return True
        delivery = Delivery(
            id="",
            account=incoming.account,
            vendor=incoming.vendor,
            door=incoming.door,
            received_at=incoming.received_at,
            headers=incoming.headers,
            body=incoming.body,
        )
        try:
            vendor.read(delivery)
        except UnreadableDelivery:
            return False
        except Exception:  # noqa: BLE001 - a stranger's bytes must not cost the refusals beside them
            _log.exception("reading a refused delivery failed")
            return False
        return True


def _trim(connection: Connection, vendor: str, account: str, reason: str, budget: int) -> None:
    """Delete the oldest refusals of an account and reason that are over the budget, but none that was set aside."""
    refusals = tables.refusals
    newer = func.sum(refusals.c.size_bytes).over(order_by=refusals.c.id.desc())
    sized = (
        select(refusals.c.id, newer.label("bytes"))
        .where(refusals.c.vendor == vendor, refusals.c.account == account, refusals.c.reason == reason)
        .where(refusals.c.set_aside.is_(None))
        .subquery()
    )
    over = select(sized.c.id).where(sized.c.bytes > budget)
    connection.execute(delete(refusals).where(refusals.c.id.in_(over)))


def release(database: Database, settings: Settings, vendors: Mapping[str, Vendor], refusal: str) -> Accepted:
    """Keep a refused delivery after all, as if it had been authentic; the operator vouches for it.

    Raises NotReleasable, saying why: it is unknown, was released before, was not kept whole, or its account is gone.
    """
    with database.write() as connection:
        query = select(tables.refusals).where(tables.refusals.c.id == refusal).with_for_update()
        row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotReleasable(f"there is no refusal {refusal}")
        if row["released"] is not None:
            raise NotReleasable(f"refusal {refusal} was released before, as {row['released']}")
        account = settings.account(row["vendor"], row["account"])
        vendor = vendors.get(row["vendor"])
        if row["body"] is None or vendor is None:
            raise NotReleasable(f"refusal {refusal} was not well-formed, so its body was not kept")
        if account is None:
            raise NotReleasable(f"account {row['account']} of refusal {refusal} is not configured; add it first")
        told = {name: row[name] for name in ("vendor", "account", "door", "received_at")}
        incoming = Incoming(headers=unpack_headers(row["headers"]), body=bytes(row["body"]), **told)
        entry = entry_of(incoming, vendor.keys(incoming), vendor, account)
        (accepted,) = keep(database, connection, [entry])
        released = update(tables.refusals).where(tables.refusals.c.id == refusal)
        connection.execute(released.values(released=accepted.delivery, set_aside=None))
    return accepted
