"""Keeps the rules in force: reads their file again when it changes, and keeps the old ones while it is broken."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from handlers.rules.matching import Rules, version_of
from handlers.rules.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from handlers.rules.model import Known

#: bytes of a file that is read at all
_MOST_BYTES: Final = 4_000_000
_YOUNG_NS: Final = 2_000_000_000
#: seconds for which a changed file must have stood before it counts: editors empty a file, and write it piece by piece
SETTLES: Final = 0.5
_GONE: Final = "the file is gone, though it had rules; write `rules: []` into it to have none"
_BLANK: Final = "the file says nothing of rules, though it had some; write `rules: []` into it to have none"
_MISSING: Final = "there is no such file, though REELHOOK_RULES names it; write `rules: []` into it to have no rules"


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a look at the file found: its text, or what kept it from being read; neither where there is no file."""

    text: str | None = None
    problem: str | None = None


def _find(path: Path) -> _Found:
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        return _Found()
    except (OSError, ValueError) as exc:
        return _Found(problem=f"the file can't be read: {exc}")
    if len(raw) > _MOST_BYTES:
        return _Found(problem=f"the file can't be read: it has {len(raw)} bytes; expected at most {_MOST_BYTES}")
    return _Found(text=text)


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
    #: the file is absent or blank, and that is no problem: there are no rules, as far as it is known
    is_silent: bool = False
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

    def __init__(
        self,
        path: Path,
        known: Known,
        *,
        must_exist: bool = False,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the file, as it is; without one there are no rules, which is a problem where it `must_exist`.

        `ticks` gives seconds that only grow.
        """
        self.path = path
        self._known = known
        self._must_exist = must_exist
        self._ticks = ticks
        self._lock = threading.Lock()
        self._standing = Standing(rules=Rules((), known), file_version="", was_fit=False)
        #: rules were in force, and nobody has said since that there shall be none; None: it is not known
        self._had_rules: bool | None = None
        #: version of the text of before that is wrong by now: it stays so as long as this process lives
        self._refused: str | None = None
        #: what was found that is not believed yet, and since when
        self._pending: tuple[_Found, float] | None = None
        self._seen: tuple[int, ...] | None = None
        self._note(self._look())
        self._found = _find(path)
        self._take(self._found)

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

    @property
    def wants_past(self) -> bool:
        """What was in force before this process began would tell more than the file does: see remember()."""
        return not self._standing.is_fit or (self._standing.is_silent and self._had_rules is None)

    @property
    def refused(self) -> str | None:
        """The version of the text of before that was remembered and is wrong by now; None: none was."""
        return self._refused

    def remember(self, text: str | None) -> bool:
        """Take the text that was last in force before this process began; None: there never was any.

        Where the file is broken, its rules are in force again, unless they are wrong by now. Where it is absent or
        blank, so are they, and that is a problem: `rules: []` is how one says that there shall be none. Tells whether
        anything is another now.
        """
        with self._lock:
            if not self.wants_past:
                return False
            before = self._standing
            if text is not None:
                self._remember(text)
            elif before.is_silent:
                self._had_rules = False
            return self._standing is not before

    def refresh(self) -> bool:
        """Look whether the file has changed, and read it again if so; tell whether anything is another now.

        Call it every second: an unchanged file costs one look at its entry. What has changed counts once two looks,
        SETTLES seconds apart, have found the same.
        """
        with self._lock:
            seen = self._look()
            if seen == self._seen and seen is not None:
                self._pending = None
                return False
            found = _find(self.path)
            if not self._has_settled(found):
                return False
            before, self._pending = self._standing, None
            if found != self._found:
                self._found = found
                self._take(found)
            self._note(seen)
            return self._standing is not before

    def _note(self, seen: tuple[int, ...] | None) -> None:
        # Written again within its clock's grain it would look unchanged: what is young is read once more.
        self._seen = seen if time.time_ns() - (seen or (0,))[0] > _YOUNG_NS else None

    def _has_settled(self, found: _Found) -> bool:
        if found == self._found:
            return True
        now = self._ticks()
        if self._pending is None or self._pending[0] != found:
            self._pending = (found, now)
        return now - self._pending[1] >= SETTLES

    def _look(self) -> tuple[int, ...] | None:
        """Return what tells one state of the file from another; None: it can't be told."""
        try:
            entry = self.path.stat()
        except FileNotFoundError:
            return (0,)
        except OSError:
            return None
        return (entry.st_mtime_ns, entry.st_size, entry.st_ino)

    def _take(self, found: _Found) -> None:
        """Go by what was found, or stay with the rules in force and say why."""
        if found.problem is not None:
            self._break((Problem(line=1, column=1, text=found.problem),), "")
        elif found.text is None:
            self._take_none(_GONE if self._had_rules else _MISSING if self._must_exist else None, "")
        else:
            self._take_text(found.text)

    def _take_text(self, text: str) -> None:
        from handlers.rules.rule_file import read_rules  # noqa: PLC0415 - 30 MB that nobody needs without rules

        version = version_of(text)
        file = read_rules(text, self._known)
        if file.errors:
            self._break(file.errors, version)
        elif file.is_blank:
            self._take_none(_BLANK if self._had_rules else None, version)
        else:
            rules = Rules(file.rules, self._known, version=version)
            self._had_rules = bool(rules.all)
            self._standing = Standing(rules=rules, text=text, file_version=version, warnings=file.warnings)

    def _take_none(self, problem: str | None, version: str) -> None:
        """Have no rules, unless that is a problem."""
        if problem is not None:
            self._break((Problem(line=1, column=1, text=problem),), version)
        else:
            rules = Rules((), self._known, version=version)
            self._standing = Standing(rules=rules, file_version=version, is_silent=True)

    def _break(self, problems: Sequence[Problem], version: str) -> None:
        before = self._standing
        fit = before.was_fit and not (before.is_silent and self._had_rules is None)
        self._standing = replace(before, problems=tuple(problems), file_version=version, was_fit=fit, is_silent=False)

    def _remember(self, text: str) -> None:
        from handlers.rules.rule_file import read_rules  # noqa: PLC0415 - as in _take_text

        version = version_of(text)
        if version == self._refused:
            return
        file = read_rules(text, self._known)
        # What is wrong by now had rules: an empty text is never wrong.
        self._had_rules = bool(file.errors or file.rules)
        if self._standing.is_silent:
            if not self._had_rules:
                return
            problem = Problem(line=1, column=1, text=_GONE if self._found.text is None else _BLANK)
            self._standing = replace(self._standing, problems=(problem,), was_fit=False, is_silent=False)
        if file.errors:
            self._refused = version
        else:
            rules = Rules(file.rules, self._known, version=version)
            self._standing = replace(self._standing, rules=rules, text=text, was_fit=True)
