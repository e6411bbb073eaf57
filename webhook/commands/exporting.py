"""`reelhook recordings|segments export`: the catalogue as one file, however large, beside lists and single rows."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from webhook.commands.filtering import filter_options, to_filters
from webhook.commands.lists import recordings, segments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handlers.database import Database
    from handlers.questions.filters import Filters
    from handlers.questions.items import Item

__all__ = ["recordings", "segments"]

_STDOUT = "-"
#: rows that are counted for the progress bar; more are shown without an end
_COUNTED = 20_000_000
_HELP = """\
Write all {many}, or those that the filters let through, as CSV or NDJSON.

Memory stays the same however many there are. A progress bar stands on standard error where that is a terminal.

CSV is UTF-8 as in RFC 4180, with a header; {json} are JSON text. Cells are data, not made safe for spreadsheets
that run formulas.
"""


def _add_export(group: click.Group, many: str, one: str, json: str) -> None:
    """Give the group of a noun its export; `json` names the columns of CSV that are JSON text."""

    @group.command("export", help=_HELP.format(many=many, json=json))
    @click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), required=True, help="What to write.")
    @click.option(
        "--output",
        metavar="FILE",
        default=_STDOUT,
        show_default=True,
        help="Where to write; a file appears once it is complete.",
    )
    @filter_options(many, format_option="--file-format")
    def export(form: str, output: str, **values: Any) -> None:  # noqa: ANN401 (click hands over the options by name)
        from handlers import questions
        from handlers.questions import items
        from webhook.commands.at_hand import load_settings, opened
        from webhook.exports import WRITERS

        filters = to_filters(values)
        ask: Callable[..., Iterator[Item]] = getattr(questions, f"export_{many}")
        names: tuple[str, ...] = getattr(items, one.upper())
        with opened(load_settings()) as database, _opened(output) as out:
            told = _counted(ask(database, filters), database, many, filters, output)
            WRITERS[form](told, names, out)


_add_export(recordings, "recordings", "recording", "streams, media and flags")
_add_export(segments, "segments", "segment", "streams and media")


@contextmanager
def _opened(output: str) -> Iterator[BinaryIO]:
    from webhook.exports import whole_file

    if output == _STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with whole_file(Path(output)) as out:
            yield out


def _counted(items: Iterator[Item], database: Database, many: str, filters: Filters, output: str) -> Iterator[Item]:
    """Pass the items on, under a progress bar where a person would see it."""
    if not sys.stderr.isatty() or (output == _STDOUT and sys.stdout.isatty()):
        yield from items
        return
    from handlers.questions import total
    from webhook.progress import progress_bar

    with database.read() as connection:
        count, more = total(connection, many, filters, cap=_COUNTED)
    with progress_bar(many) as advance:
        for number, item in enumerate(items, start=1):
            yield item
            advance(number, None if more else count)
