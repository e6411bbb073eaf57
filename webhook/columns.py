"""Decides what a person sees of an item: which columns in a list, in which words, and never a control character."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handlers.questions.items import Item

#: columns of text that is piped into a program: nothing is wrapped there
_PIPED_WIDTH = 2000


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its heading, and what of an item stands in it."""

    heading: str
    cell: Callable[[Any], str]
    name: str
    is_number: bool = False


def _plain(value: Any) -> str:  # noqa: ANN401 (any value of an item)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def moment(text: str | None) -> str:
    """Return an item's time to the second: `2020-09-02 10:23:54`."""
    return "-" if text is None else text[:19].replace("T", " ")


def span(ms: int | None) -> str:
    """Return a duration in milliseconds as `0:29:52`."""
    if ms is None:
        return "-"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _file(key: str | None) -> str:
    return "-" if key is None else key.rsplit("/", 1)[-1]


def _people(streams: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(stream["user_id"] for stream in streams) or "-"


def _column(heading: str, name: str, cell: Callable[[Any], str] = _plain, *, is_number: bool = False) -> Column:
    return Column(heading=heading, name=name, cell=cell, is_number=is_number)


_TASK = (_column("ACCOUNT", "account"), _column("ROOM", "room_id"), _column("TASK", "task_id"))
COLUMNS: Mapping[str, Sequence[Column]] = {
    "recordings": (
        _column("ID", "id"),
        _column("STARTED (UTC)", "started_at", moment),
        _column("LENGTH", "duration_ms", span, is_number=True),
        *_TASK,
        _column("FORMAT", "format"),
        _column("STATE", "state"),
        _column("FILE", "key", _file),
    ),
    "segments": (
        _column("ID", "id"),
        _column("STARTED (UTC)", "started_at", moment),
        _column("LENGTH", "duration_ms", span, is_number=True),
        *_TASK,
        _column("IDENTIFIER", "identifier"),
        _column("STREAMS", "streams", _people),
        _column("FILE", "key", _file),
    ),
    "tasks": (
        _column("ID", "id"),
        _column("STARTED (UTC)", "started_at", moment),
        _column("ENDED (UTC)", "ended_at", moment),
        *_TASK,
        _column("TYPE", "type"),
        _column("RUN", "run", is_number=True),
        _column("STATE", "state"),
        _column("UPLOAD", "upload"),
        _column("FILES", "recording_count", is_number=True),
        _column("SLICES", "segment_count", is_number=True),
        _column("RECORDED", "recorded_ms", span, is_number=True),
    ),
    "deliveries": (
        _column("ID", "id"),
        _column("RECEIVED (UTC)", "received_at", moment),
        _column("VENDOR", "vendor"),
        _column("ACCOUNT", "account"),
        _column("DOOR", "door"),
        _column("STATE", "state"),
        _column("REPEATS", "repeats", is_number=True),
        _column("EVENTS", "events", lambda events: ", ".join(events) or "-"),
        _column("REASON", "reason"),
    ),
    "refusals": (
        _column("ID", "id"),
        _column("RECEIVED (UTC)", "received_at", moment),
        _column("VENDOR", "vendor"),
        _column("ACCOUNT", "account"),
        _column("DOOR", "door"),
        _column("REASON", "reason"),
        _column("DETAIL", "detail"),
        _column("RELEASED AS", "released"),
    ),
    "actions": (
        _column("ID", "id"),
        _column("PLANNED (UTC)", "created_at", moment),
        _column("RULE", "rule"),
        _column("OPERATION", "operation"),
        _column("ACCOUNT", "account"),
        _column("TO", "destination"),
        _column("SUBJECT", "subject"),
        _column("STATE", "state"),
        _column("TRIES", "attempts", is_number=True),
        _column("DUE (UTC)", "due_at", moment),
        _column("CODE", "code"),
        _column("REASON", "reason"),
    ),
    "rules": (
        _column("RULE", "name"),
        _column("WHEN", "when", ", ".join),
        _column("DOES", "operations", ", ".join),
        _column("MODE", "mode"),
        _column("ENABLED", "enabled"),
        _column("STOPPED", "stopped"),
        _column("MATCHED", "matched", is_number=True),
        _column("LAST (UTC)", "matched_at", moment),
        _column("UNMATCHED", "unmatched", lambda unmatched: str(sum(unmatched.values())), is_number=True),
        _column("FAILURE", "failure"),
    ),
    "stopped": (
        _column("WHAT", "kind"),
        _column("NAME", "name"),
        _column("STOPPED (UTC)", "stopped_at", moment),
    ),
}


def print_list(kind: str, items: Sequence[Item]) -> None:
    """Print the items as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS[kind]:
        table.add_column(
            column.heading,
            justify="right" if column.is_number else "left",
            no_wrap=column.name == "id",
            overflow="fold",
        )
    for item in items:
        table.add_row(*(shown(column.cell(item[column.name])) for column in COLUMNS[kind]))
    terminal().print(table)


def print_item(item: Item) -> None:
    """Print one item, a line for each of its values; the body of a delivery stands last, by itself."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in item.items():
        if name != "body":
            for number, line in enumerate(_lines(value)):
                table.add_row(name if number == 0 else "", shown(line))
    console = terminal()
    console.print(table)
    if item.get("body") is not None:
        console.print()
        console.print(shown(_plain(item["body"]), "\n\t"), soft_wrap=True)


def _lines(value: Any) -> list[str]:  # noqa: ANN401 (any value of an item)
    if isinstance(value, dict) and value:
        return [f"{name}: {_plain(one)}" for name, one in value.items()]
    if isinstance(value, list) and value:
        return [_part(one) for one in value]
    return ["-" if value in ([], {}) else _plain(value)]


def _part(value: Any) -> str:  # noqa: ANN401 (any value of a list)
    """Return one of several in a line: of an object what it holds, without what it does not have."""
    if not isinstance(value, dict):
        return _plain(value)
    return ", ".join(f"{name}: {_plain(one)}" for name, one in value.items() if one is not None and one is not False)


def shown(text: str, spared: str = "") -> Text:
    """Return text that a vendor sent so that it can't steer a terminal: what is not printable is escaped."""
    safe = "".join(c if c.isprintable() or c in spared else c.encode("unicode_escape").decode() for c in text)
    return Text(safe)


def terminal() -> Console:
    """Return standard output, as wide as the terminal, or as wide as it takes where it is none."""
    is_terminal = sys.stdout.isatty()
    return Console(width=None if is_terminal else _PIPED_WIDTH, highlight=False, emoji=False, markup=False)
