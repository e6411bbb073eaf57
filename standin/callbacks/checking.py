"""Whether a catalogue holds what it must: asked through the API, compared with the expectation, told as differences."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from standin.callbacks.errors import NotAnswered, NotSent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from standin.callbacks.expected import Expectation, Facts, FileName, RunName
    from standin.callbacks.sending import HttpSender

_TIMES = frozenset({"started_at", "ended_at"})
#: rows of one page of the API
_PAGE = 500
#: seconds between two looks, and for how long differences must last, with nothing left to process, to be believed
_PAUSE = 0.3
_LASTING = 4.0


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What the API answers of some applications."""

    runs: Mapping[RunName, Facts]
    files: Mapping[FileName, Facts]
    slices: Mapping[FileName, Facts]


class Api:
    """Reelhook's API, read with its bearer token."""

    def __init__(self, sender: HttpSender, token: str, *, page: int = _PAGE) -> None:
        """Take an open connection to Reelhook; a list is read in pages of so many items."""
        self._sender = sender
        self._page = page
        self._headers = {"authorization": f"Bearer {token}"}

    def items(self, noun: str, app_ids: Sequence[str]) -> Iterator[Facts]:
        """Yield every item of these applications, page by page.

        Raises NotSent where the API is away or answers with 5xx, and NotAnswered for anything else but 200.
        """
        asked = [("limit", str(self._page)), *(("app_id", app_id) for app_id in app_ids)]
        cursor: str | None = None
        while True:
            page = self._ask(f"/api/v1/{noun}?{urlencode(asked + ([('cursor', cursor)] if cursor else []))}")
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def is_drained(self) -> bool:
        """Tell whether nothing that was kept waits to be processed."""
        return not self._ask("/api/v1/deliveries?state=kept&limit=1")["items"]

    def catalogue(self, app_ids: Sequence[str]) -> Catalogue:
        """Return all that is known of these applications."""
        tasks = {task["id"]: task for task in self.items("tasks", app_ids)}
        files = self._named("recordings", app_ids, tasks)
        slices = self._named("segments", app_ids, tasks)
        return Catalogue(runs={run_name(task): _plain(task) for task in tasks.values()}, files=files, slices=slices)

    def _named(self, noun: str, app_ids: Sequence[str], tasks: Mapping[str, Facts]) -> dict[FileName, Facts]:
        """Return the items by run and name; two of one name are told apart by their ids, so that none is missed."""
        found: dict[FileName, Facts] = {}
        for item in self.items(noun, app_ids):
            if item["task"] not in tasks:  # it came between the two lists: the next look has both
                continue
            name = (*run_name(tasks[item["task"]]), item["key"] or item["vid"])
            found[(*name[:-1], f"{name[-1]} again, as {item['id']}") if name in found else name] = _plain(item)
        return found

    def _ask(self, target: str) -> Any:  # noqa: ANN401 - any JSON value
        answer = self._sender.get(target, self._headers)
        if answer.status == 401:
            raise NotAnswered("the API does not take the token: give --api-token as `reelhook accounts` shows it")
        if answer.status >= 500:
            raise NotSent(f"the API answers {answer.status} to {target}: {answer.body[:300]}")
        if not answer.is_success:
            raise NotAnswered(f"the API answers {answer.status} to {target}: {answer.body[:300]}")
        return json.loads(answer.body)


def run_name(task: Mapping[str, Any]) -> RunName:
    """Return the name of the run that an item of the API's tasks is about."""
    return (task["vendor"], task["type"], task["app_id"], task["room_id"], task["task_id"], task["run"])


def _plain(item: Mapping[str, Any]) -> Facts:
    told: Facts = {name: _milliseconds(value) if name in _TIMES else value for name, value in item.items()}
    if "streams" in told:
        told["streams"] = sorted((one["user_id"], one["source"]) for one in told["streams"])
    return told


def _milliseconds(text: Any) -> int | None:  # noqa: ANN401 - any JSON value
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)


def settle(api: Api, expectation: Expectation, app_ids: Sequence[str], *, patience: float) -> list[str]:
    """Look until the catalogue is right; return the differences that last, or are there after `patience` seconds.

    A Reelhook that is away is waited for. Raises NotAnswered where the API lets nobody in.
    """
    until = time.monotonic() + patience
    since = time.monotonic()
    before: list[str] | None = None
    while True:
        is_drained, differences = _look(api, expectation, app_ids)
        now = time.monotonic()
        if differences != before or not is_drained:
            before, since = differences, now
        if (not differences and is_drained) or now - since > _LASTING:
            return differences
        if now > until:
            waits = [] if is_drained else ["deliveries still wait to be processed: is a worker running?"]
            return differences + waits
        time.sleep(_PAUSE)


def _look(api: Api, expectation: Expectation, app_ids: Sequence[str]) -> tuple[bool, list[str]]:
    """Return whether all is processed, and what differs; an API that is away differs in that."""
    try:
        # In this order: what is processed in between shows.
        is_drained = api.is_drained()
        return is_drained, compare(expectation, api.catalogue(app_ids))
    except NotSent as exc:
        return False, [str(exc)]


def compare(expectation: Expectation, catalogue: Catalogue) -> list[str]:
    """Return what differs, one sentence each, sorted by task."""
    return [
        *_rows("task", expectation.runs, catalogue.runs),
        *_rows("recording", expectation.files, catalogue.files),
        *_rows("segment", expectation.slices, catalogue.slices),
    ]


def _rows(noun: str, expected: Mapping[Any, Facts], there: Mapping[Any, Facts]) -> Iterable[str]:
    for name in sorted({*expected, *there}, key=str):
        shown = f"{noun} {show(name)}"
        if name not in there:
            yield f"{shown}: is missing"
        elif name not in expected:
            yield f"{shown}: must not be there"
        else:
            wrong = {fact: value for fact, value in expected[name].items() if there[name].get(fact) != value}
            for fact, value in wrong.items():
                yield f"{shown}: {fact} is {there[name].get(fact)!r}, expected {value!r}"


def show(name: Sequence[str | int]) -> str:
    """Return the name of a run or file, for people."""
    vendor, kind, _, room, task, run, *file = name
    return " ".join([f"{vendor} {kind} {room}/{task} run {run}", *map(str, file)])
