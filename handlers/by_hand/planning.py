"""How a call by hand is planned: as a rule's would be, so that it goes through lane and limit as those do."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from handlers.actions import Planned, plan
from handlers.actions.db_time import db_time
from handlers.actions.endings import add_to, noted
from handlers.actions.figures import PLANNED
from handlers.actions.planned import BY_HAND as RULE
from handlers.database import once_more
from handlers.errors import DatabaseAway
from handlers.ids import new_id
from handlers.inbox.consequences import covers
from handlers.inbox.terms import Terms
from handlers.meters import Meters
from handlers.rules import Retry
from handlers.tables import actions

if TYPE_CHECKING:
    from handlers.by_hand.wanted import Wanted
    from handlers.database import Database
    from handlers.settings import Settings

#: stands where other actions have the name of their change
CHANGE: Final = "call"


@once_more
def plan_by_hand(database: Database, settings: Settings, wanted: Wanted) -> str:
    """Plan the call, for whatever worker comes first; return its action's id.

    It may be refused there and then, for what earlier calls said of its task. Raises DatabaseAway.
    """
    with database.write() as connection:
        # The database's clock: by another that goes ahead, it would be due later, and come after others of its lane.
        now = db_time(connection) // 1000
        planned = _planned(settings, wanted, now)
        plan(connection, [planned], now=now, covers=covers)
        own = select(actions.c.id).where(actions.c.rule == RULE, actions.c.subject == planned.subject)
        action = str(connection.execute(own).scalar_one())
    meters = Meters()
    meters.add(PLANNED, wanted.name)
    add_to(meters, noted(connection))
    with suppress(DatabaseAway):  # the call is planned, and counts for more than its count
        meters.flush(database, at_once=True)
    return action


def _planned(settings: Settings, wanted: Wanted, now: int) -> Planned:
    vendor, account = wanted.account.vendor, wanted.account.name
    terms = Terms(settings).of_call(
        vendor,
        account,
        wanted.operation,
        wanted.parameters,
        task=wanted.task_key,
        business_id=wanted.business_id,
        retry=Retry(),
    )
    return Planned(
        rule=RULE,
        subject=new_id("cal"),
        change=CHANGE,
        operation=wanted.name,
        vendor=vendor,
        account=account,
        parameters=wanted.parameters,
        at=now,
        delivery="",
        task=wanted.task,
        **terms,
    )
