"""Rules are read again once their file has changed and stands still; a broken one keeps the old ones and says so."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from rule_operations import KNOWN, change

from handlers.rules import RuleBook, rule_file
from handlers.rules.book import SETTLES
from handlers.rules.matching import version_of

if TYPE_CHECKING:
    from pathlib import Path

ONE = "rules:\n- {name: one, when: task.stopped, do: {http.post: {to: captioning}}}\n"
TWO = ONE.replace("one", "two")
BROKEN = ONE.replace("task.stopped", "task.stoped")


def opened(path: Path, **more: Any) -> RuleBook:
    """Return a book whose looks are a second apart."""
    return RuleBook(path, KNOWN, ticks=itertools.count().__next__, **more)


def looked(book: RuleBook) -> bool:
    """Look twice, as it takes for a change to count; tell whether the second look found anything new."""
    assert not book.refresh(), "one look is not enough"
    return book.refresh()


def acting(book: RuleBook) -> list[str]:
    return [one.rule for one in book.rules.asked(change("task.stopped")).asked]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def test_without_a_file_there_are_no_rules(path: Path) -> None:
    book = opened(path)
    assert (acting(book), book.version, book.problems) == ([], "", ())
    assert not book.refresh()


def test_a_file_that_comes_later_is_read(path: Path) -> None:
    book = opened(path)
    path.write_text(ONE)
    assert looked(book)
    assert acting(book) == ["one"]


def test_a_changed_file_is_read_again_even_with_the_same_size_at_once(path: Path) -> None:
    path.write_text(ONE)
    book = opened(path)
    before = book.version
    entry = path.stat()
    path.write_text(TWO)
    os.utime(path, ns=(entry.st_atime_ns, entry.st_mtime_ns))
    assert looked(book)
    assert acting(book) == ["two"]
    assert book.version != before
    assert not book.refresh()


def test_an_old_file_that_has_not_changed_is_not_read_again(path: Path) -> None:
    path.write_text(ONE)
    past = time.time() - 60
    os.utime(path, (past, past))
    book = opened(path)
    assert not book.refresh()
    path.chmod(0)
    assert not book.refresh()
    assert acting(book) == ["one"]


def test_a_broken_file_keeps_the_old_rules_and_says_so(path: Path) -> None:
    path.write_text(ONE)
    book = opened(path)
    version = book.version
    path.write_text(BROKEN)
    assert looked(book)
    assert (acting(book), book.version) == (["one"], version)
    assert not book.standing.is_current
    assert book.standing.file_version != version
    assert book.shown_problems()[0].startswith('rules.yaml:2:21: unknown change "task.stoped"')
    assert not book.refresh(), "the same broken file is no news"
    path.write_text(TWO)
    assert looked(book)
    assert (acting(book), book.problems) == (["two"], ())


def test_a_mended_file_with_the_old_text_is_in_order_again(path: Path) -> None:
    path.write_text(ONE)
    book = opened(path)
    path.write_text(BROKEN)
    looked(book)
    path.write_text(ONE)
    assert looked(book)
    assert (acting(book), book.standing.is_current) == (["one"], True)


def test_a_file_that_is_broken_from_the_start_has_no_rules_and_says_so(path: Path) -> None:
    path.write_text(BROKEN)
    book = opened(path)
    assert (acting(book), book.version) == ([], "")
    assert book.problems


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"rules: \x00", b"#" * 4_000_001])
def test_a_file_that_can_not_be_read_keeps_the_old_rules(path: Path, raw: bytes) -> None:
    path.write_text(ONE)
    book = opened(path)
    path.write_bytes(raw)
    assert looked(book)
    assert acting(book) == ["one"]
    assert book.problems


def test_a_file_that_is_gone_keeps_the_old_rules_and_says_how_to_have_none(path: Path) -> None:
    path.write_text(ONE)
    book = opened(path)
    path.unlink()
    assert looked(book)
    assert acting(book) == ["one"]
    assert "rules: []" in book.shown_problems()[0]
    path.write_text("rules: []\n")
    assert looked(book)
    assert (acting(book), book.problems) == ([], ())


def test_a_folder_in_its_place_is_a_problem_and_no_crash(path: Path) -> None:
    path.mkdir()
    book = opened(path)
    assert "can't be read" in book.shown_problems()[0]


def test_threads_see_old_or_new_rules_and_nothing_between(path: Path) -> None:
    path.write_text(ONE)
    book = opened(path)
    seen: set[tuple[str, ...]] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            book.refresh()
            seen.add(tuple(acting(book)))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(60):
        fresh = path.with_suffix(".new")
        fresh.write_text(TWO if number % 2 else ONE)
        fresh.replace(path)
        time.sleep(0.005)
    over.set()
    for thread in threads:
        thread.join()
    assert seen == {("one",), ("two",)}


def test_without_a_file_the_libraries_of_expressions_are_not_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from handlers.rules import Known, RuleBook\n"
        "book = RuleBook(Path('rules.yaml'), Known(operations={}, vendors=()))\n"
        "print(sorted({'cel_expr_python', 'google.protobuf', 'ruamel.yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_book_that_begins_with_a_broken_file_knows_no_rules_until_it_is_mended(path: Path) -> None:
    path.write_text(BROKEN)
    book = opened(path)
    assert not book.standing.is_fit
    path.write_text(ONE)
    assert looked(book)
    assert book.standing.is_fit


def test_a_book_that_begins_with_a_broken_file_goes_by_the_rules_of_before(path: Path) -> None:
    path.write_text(BROKEN)
    book = opened(path)
    assert not book.remember(BROKEN), "those are wrong, too"
    assert book.remember(TWO)
    assert (acting(book), book.standing.is_fit, book.standing.is_current) == (["two"], True, False)
    assert not book.remember(ONE), "rules are in force"
    assert not book.refresh()
    path.write_text(ONE)
    assert looked(book)
    assert acting(book) == ["one"]


def test_rules_of_before_that_are_wrong_by_now_are_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(BROKEN)
    book = opened(path)
    reading = Mock(wraps=rule_file.read_rules)
    monkeypatch.setattr(rule_file, "read_rules", reading)
    wrong = BROKEN.replace("one", "other")
    assert [book.remember(wrong) for _ in range(3)] == [False, False, False]
    assert (reading.call_count, book.refused) == (1, version_of(wrong))
    assert book.remember(TWO), "another text of before is looked at"
    assert acting(book) == ["two"]


def test_a_file_that_comes_broken_where_there_was_none_leaves_none_in_force(path: Path) -> None:
    book = opened(path)
    book.remember(None)
    path.write_text(BROKEN)
    assert looked(book)
    assert book.standing.is_fit
    assert acting(book) == []


# --- a file that is being written ---


BOTH = ONE + TWO.removeprefix("rules:\n")


@pytest.mark.parametrize("part", ["", "rules:\n", "# rules of the school\n", "{}"])
def test_a_blank_file_keeps_the_old_rules_and_says_how_to_have_none(path: Path, part: str) -> None:
    path.write_text(ONE)
    book = opened(path)
    path.write_text(part)
    assert looked(book)
    assert (acting(book), book.standing.is_fit, book.standing.is_current) == (["one"], True, False)
    assert "rules: []" in book.shown_problems()[0]
    path.write_text("rules: []\n")
    assert looked(book)
    assert (acting(book), book.problems) == ([], ())
    path.write_text(part)
    looked(book)
    assert book.problems == (), "there shall be none, and there are none"


@pytest.mark.parametrize("part", ["", ONE, BROKEN])
def test_a_file_that_is_half_written_is_no_change_yet(path: Path, part: str) -> None:
    path.write_text(BOTH)
    book = opened(path)
    before = book.standing
    path.write_text(part)
    assert not book.refresh()
    path.write_text(BOTH)
    assert not book.refresh()
    assert book.standing is before


def test_what_changes_between_two_looks_waits_for_a_third(path: Path) -> None:
    path.write_text(ONE)
    book = opened(path)
    path.write_text(TWO)
    assert not book.refresh()
    path.write_text(BOTH)
    assert looked(book)
    assert acting(book) == ["one", "two"]


def test_two_looks_at_once_are_one(path: Path) -> None:
    now = [0.0]
    path.write_text(ONE)
    book = RuleBook(path, KNOWN, ticks=lambda: now[0])
    path.write_text(TWO)
    assert not book.refresh()
    assert not book.refresh()
    now[0] += SETTLES
    assert book.refresh()


def test_a_change_that_was_taken_back_begins_anew_where_it_comes_again(path: Path) -> None:
    path.write_text(ONE)
    past = time.time() - 60
    os.utime(path, (past, past))
    book = opened(path)
    path.write_text(TWO)
    assert not book.refresh()
    path.write_text(ONE)
    os.utime(path, (past, past))
    assert not book.refresh()
    path.write_text(TWO)
    assert looked(book)


# --- what was in force before ---


@pytest.mark.parametrize("is_there", [False, True])
def test_where_nobody_said_that_there_shall_be_none_the_rules_of_before_stay_in_force(
    path: Path, *, is_there: bool
) -> None:
    if is_there:
        path.write_text("")
    book = opened(path)
    assert book.remember(ONE)
    assert (acting(book), book.standing.is_fit, book.standing.is_current) == (["one"], True, False)
    assert "rules: []" in book.shown_problems()[0]
    assert not book.wants_past
    assert not book.refresh()
    path.write_text(TWO)
    assert looked(book)
    assert (acting(book), book.problems) == (["two"], ())


@pytest.mark.parametrize("past", [None, "rules: []\n", ""])
def test_where_there_were_no_rules_of_before_no_file_is_no_problem(path: Path, past: str | None) -> None:
    book = opened(path)
    assert not book.remember(past)
    assert (acting(book), book.problems, book.standing.is_fit) == ([], (), True)
    assert not book.wants_past


def test_where_the_rules_of_before_are_wrong_by_now_it_waits_for_the_file(path: Path) -> None:
    book = opened(path)
    assert book.remember(BROKEN)
    assert not book.standing.is_fit
    assert "rules: []" in book.shown_problems()[0]
    path.write_text("")
    looked(book)
    assert not book.standing.is_fit, "a blank file says nothing"
    path.write_text("rules: []\n")
    assert looked(book)
    assert (book.standing.is_fit, book.problems) == (True, ())


def test_a_file_that_says_something_needs_no_past(path: Path) -> None:
    path.write_text("rules: []\n")
    book = opened(path)
    assert not book.wants_past
    assert not book.remember(ONE)
    path.unlink()
    assert looked(book)
    assert not book.wants_past
    assert (acting(book), book.problems) == ([], ())


def test_a_file_that_must_be_there_and_is_not_is_like_a_broken_one(path: Path) -> None:
    book = opened(path, must_exist=True)
    assert "there is no such file, though REELHOOK_RULES names it" in book.shown_problems()[0]
    assert not book.standing.is_fit
    assert not book.remember(None)
    assert not book.standing.is_fit
    assert book.remember(ONE)
    assert (acting(book), book.standing.is_fit) == (["one"], True)
    path.write_text(TWO)
    assert looked(book)
    assert (acting(book), book.problems) == (["two"], ())


def test_a_file_that_breaks_before_the_past_was_asked_leaves_that_open(path: Path) -> None:
    book = opened(path)
    path.write_text(BROKEN)
    assert looked(book)
    assert not book.standing.is_fit
    assert book.remember(ONE)
    assert acting(book) == ["one"]
