"""Decides how items leave as a file: CSV or NDJSON, one by one, into a file that is whole or not there.

CSV is RFC 4180 in UTF-8 with a header: one column for each value of an item under its name in the API, an absent
value empty, `streams`, `media` and `flags` as JSON text. It is data for programs: a cell that a spreadsheet would take
for a formula is left as it is.
"""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from handlers.errors import ReelhookError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from handlers.questions.items import Item


def write_csv(items: Iterable[Item], names: Sequence[str], out: BinaryIO) -> None:
    """Write a header and a record for each item."""
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow(names)
        for item in items:
            writer.writerow([_cell(item[name]) for name in names])
    finally:
        text.detach()


def write_ndjson(items: Iterable[Item], names: Sequence[str], out: BinaryIO) -> None:
    """Write each item as one line of JSON."""
    for item in items:
        line = json.dumps({name: item[name] for name in names}, ensure_ascii=False, separators=(",", ":"))
        out.write(line.encode() + b"\n")


WRITERS: dict[str, Callable[[Iterable[Any], Sequence[str], BinaryIO], None]] = {
    "csv": write_csv,
    "ndjson": write_ndjson,
}


def _cell(value: Any) -> str | int | float:  # noqa: ANN401 (any value of an item)
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value if isinstance(value, int | float) else str(value)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` once it is complete and on disk; on any error nothing is changed.

    What is no regular file, such as /dev/null or a pipe, is written to directly. Raises ReelhookError where the file
    can't be written.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as out:
                yield out
            return
        target = path.resolve()
        new = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with new.open("xb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            new.replace(target)
        finally:
            new.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as exc:
        raise ReelhookError(f"{path} can't be written: {exc.strerror or exc}") from exc
