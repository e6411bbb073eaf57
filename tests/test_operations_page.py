"""The page on operations names every figure that /metrics shows, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from callbacks import file_created, incoming
from prometheus_client.parser import text_string_to_metric_families

from handlers import meters
from handlers.actions import Figures as ActionFigures
from handlers.actions.figures import LATE, PLANNED, SENT, SETTLED
from handlers.actions.switches import Switch
from handlers.errors import BadToken
from handlers.inbox import Receipt
from handlers.keeping.deliveries import Accepted
from handlers.meters import DRIFT, EVENTS, PROCESSED, QUARANTINED
from handlers.observation import Observation
from handlers.questions.backlog import Backlog, SetAside
from handlers.questions.rules import InForce
from handlers.vendor import Verified
from webhook.figures import Figures

_PAGE = (Path(__file__).parent.parent / "docs" / "operations.md").read_text()
_SETTLED = ("done", "again", "dead", "refused", "cancelled", "expired", "superseded")
_RULE = {
    "name": "archive",
    "version": "v",
    "matched": 1,
    "unmatched": {"age": 1},
    "matched_at": "2020-09-02T10:23:54.000Z",
}


def test_every_figure_stands_in_the_page_with_its_labels() -> None:
    figures = Figures()
    came = incoming(file_created(), token=None)
    accepted = Accepted(delivery="dlv_1", is_spooled=True, quarantined="unreadable")
    figures.count_acceptance(came, Receipt(accepted=accepted, verified=Verified(keys=("k",), secret=0)))
    repeat = Receipt(accepted=Accepted(delivery="dlv_1", is_repeat=True), verified=Verified(keys=("k",), secret=0))
    figures.count_acceptance(came, repeat)
    figures.count_refusal(came, BadToken())
    observation = Observation(
        backlog=Backlog(
            waiting=1,
            quarantined=1,
            oldest_waiting_ms=5,
            set_aside=(SetAside(vendor="huawei", account="clinic", count=1, size_bytes=5),),
        ),
        is_migrated=True,
        spool=(1, 1),
        totals=(
            (PROCESSED, "aliyun/lessons", 1),
            (QUARANTINED, "aliyun/lessons", 1),
            (EVENTS, "unknown", 1),
            (DRIFT, "aliyun/FileCreated/unknown/NewField", 1),
            *((value, "recordings", 1) for name, value in vars(meters).items() if name.startswith("QUEUE_")),
            *((name, "http.post", 1) for name in (PLANNED, SENT, LATE, *(f"{SETTLED}{one}" for one in _SETTLED))),
        ),
        rules=InForce(version="v", problems=(), workers=(), rules=(_RULE,)),
        actions=ActionFigures(
            waiting={("http.post", "dead"): 1},
            oldest_ms={"http.post": 1},
            ahead_ms={("main", "UpdateSegment"): 1},
            used={("main", "UpdateSegment"): 0.5},
            slot_wait_ms={("main", "UpdateSegment"): 1},
            stopped=(Switch("all", ""),),
        ),
    )
    shown = {}
    for family in text_string_to_metric_families(figures.render(observation).decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        if not name.endswith("_created"):
            shown[name] = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
    rows = re.findall(r"^\| `(reelhook_\w+)` \| ([\w, ]*)\|", _PAGE, flags=re.MULTILINE)
    assert {name: sorted(re.findall(r"\w+", labels)) for name, labels in rows} == shown
