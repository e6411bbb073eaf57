"""What rules asked for, from plan to settlement: each call once, in order, below the limit.

`planning` writes actions down in the transaction of their fact, `claiming` hands out those whose turn it is, `settling`
says what became of them, and `dispatch` is the loop that makes the calls. No transaction is open during a call.
"""

from __future__ import annotations

from handlers.actions.choosing import preview_retry, retry_matching
from handlers.actions.claiming import claim, give_back, renew
from handlers.actions.dispatch import Dispatcher, Perform, Performed
from handlers.actions.figures import Figures, attempts_of, figures
from handlers.actions.losses import take_up_lost
from handlers.actions.planned import Bound, Claimed, Named, Once, Planned
from handlers.actions.planning import plan
from handlers.actions.quotas import another_slot
from handlers.actions.settling import Begin, Settle, begin, settle
from handlers.actions.switches import KINDS, go, stop, stopped
from handlers.actions.verbs import cancel, record_result, rerun, retry

__all__ = [
    "KINDS",
    "Begin",
    "Bound",
    "Claimed",
    "Dispatcher",
    "Figures",
    "Named",
    "Once",
    "Perform",
    "Performed",
    "Planned",
    "Settle",
    "another_slot",
    "attempts_of",
    "begin",
    "cancel",
    "claim",
    "figures",
    "give_back",
    "go",
    "plan",
    "preview_retry",
    "record_result",
    "renew",
    "rerun",
    "retry",
    "retry_matching",
    "settle",
    "stop",
    "stopped",
    "take_up_lost",
]
