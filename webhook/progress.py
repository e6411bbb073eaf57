"""Decides how progress looks: a bar on standard error where that is a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: seconds between two changes of the bar
_EVERY = 0.1


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Lend a function that takes how much is done, of how much (None: not known)."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    looks = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*looks, console=Console(stderr=True), auto_refresh=False) as bar:
        task = bar.add_task(what, total=None)
        shown = 0.0

        def advance(done: int, total: int | None) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= _EVERY or done == total:
                bar.update(task, completed=done, total=total, refresh=True)
                shown = now

        yield advance
