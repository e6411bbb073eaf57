"""Keeps the rules in force: reads their file again when it changes, and keeps the old ones while it is broken."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from handlers.rules.matching import Rules, version_of
from handlers.rules.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from handlers.rules.model import Known

#: bytes of a file that is read at all
_MOST_BYTES: Final = 4_000_000
_YOUNG_NS: Final = 2_000_000_000


def _text(path: Path) -> str:
    """Read the file; raise OSError or ValueError."""
    raw = path.read_bytes()
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"it has {len(raw)} bytes; expected at most {_MOST_BYTES}")
    return raw.decode("utf-8-sig")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Which rules are in force, and how the file stands to them."""

    rules: Rules
    #: what they were read from
    text: str = ""
    #: of the file as it was last read; with problems, another than that of the rules
    file_version: str
    #: rules were known before the file became what it is
    was_fit: bool = True
    #: what is wrong with the file; empty: the rules in force are the file's
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()

    @property
    def version(self) -> str:
        """The version of the rules in force; empty: there are none, for there is no file."""
        return self.rules.version

    @property
    def is_current(self) -> bool:
        """The rules in force are those of the file."""
        return not self.problems

    @property
    def is_fit(self) -> bool:
        """Rules are known to go by, were it none: the file is in order or absent, or was so before."""
        return self.is_current or self.was_fit


class RuleBook:
    """The rules of a file that may change while we run; threads may share it."""

    def __init__(self, path: Path, known: Known) -> None:
        """Read the file; without one there are no rules."""
        self.path = path
        self._known = known
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._standing = Standing(rules=Rules((), known), file_version="", was_fit=False)
        self.refresh()

    @property
    def standing(self) -> Standing:
        """The rules in force, as of the last refresh."""
        return self._standing

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._standing.rules

    @property
    def version(self) -> str:
        """The version of the rules in force."""
        return self._standing.version

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with the file, while older rules are in force."""
        return self._standing.problems

    def shown_problems(self) -> tuple[str, ...]:
        """Return the problems as `rules.yaml:3:5: ...`, for logs and people."""
        return tuple(problem.shown(self.path.name) for problem in self.problems)

    def adopt(self, text: str) -> bool:
        """Go by rules that were in force before this process began, as long as the file is broken.

        Tells whether they are in force now; they are not where the file is in order, or where they are wrong by now.
        """
        with self._lock:
            if self._standing.is_fit:
                return False
            rules = self._rules(text)
            if rules is not None:
                self._standing = replace(self._standing, rules=rules, text=text, was_fit=True)
            return rules is not None

    def refresh(self) -> bool:
        """Look whether the file has changed, and read it again if so; tell whether anything is another now.

        Call it every second or before a batch: an unchanged file costs one look at its entry.
        """
        with self._lock:
            seen = self._look()
            if seen == self._seen and seen is not None:
                return False
            before = self._standing
            self._standing = self._read()
            # Written again within its clock's grain it would look unchanged: what is young is read once more.
            self._seen = seen if time.time_ns() - (seen or (0,))[0] > _YOUNG_NS else None
            return self._standing is not before

    def _look(self) -> tuple[int, ...] | None:
        """Return what tells one state of the file from another; None: it can't be told."""
        try:
            entry = self.path.stat()
        except FileNotFoundError:
            return (0,)
        except OSError:
            return None
        return (entry.st_mtime_ns, entry.st_size, entry.st_ino)

    def _read(self) -> Standing:
        try:
            text = _text(self.path)
        except FileNotFoundError:
            return self._gone()
        except (OSError, ValueError) as exc:
            return self._broken((Problem(line=1, column=1, text=f"the file can't be read: {exc}"),), "")
        return self._told(text)

    def _told(self, text: str) -> Standing:
        version = version_of(text)
        if version == self._standing.file_version:
            return self._standing
        from handlers.rules.rule_file import read_rules  # noqa: PLC0415 - 30 MB that nobody needs without rules

        file = read_rules(text, self._known)
        if file.errors:
            return self._broken(file.errors, version)
        rules = Rules(file.rules, self._known, version=version)
        return Standing(rules=rules, text=text, file_version=version, warnings=file.warnings)

    def _rules(self, text: str) -> Rules | None:
        from handlers.rules.rule_file import read_rules  # noqa: PLC0415 - as in _told

        file = read_rules(text, self._known)
        return None if file.errors else Rules(file.rules, self._known, version=version_of(text))

    def _none(self) -> Standing:
        return Standing(rules=Rules((), self._known), file_version="")

    def _broken(self, problems: Sequence[Problem], version: str) -> Standing:
        if version == self._standing.file_version and tuple(problems) == tuple(self._standing.problems):
            return self._standing
        return replace(self._standing, problems=tuple(problems), file_version=version)

    def _gone(self) -> Standing:
        """Say that the file is away: a mistake where there were rules, else the usual case."""
        if not self._standing.version:
            return self._standing if self._standing.was_fit and self._standing.is_current else self._none()
        text = "the file is gone, and its rules stay in force; write `rules: []` into it to have none"
        return self._broken((Problem(line=1, column=1, text=text),), "")
