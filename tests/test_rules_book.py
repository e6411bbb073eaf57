"""Rules are read again when their file changes; a broken file keeps the old ones and says so."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from rule_operations import KNOWN, change

from handlers.rules import RuleBook

if TYPE_CHECKING:
    from pathlib import Path

ONE = "rules:\n- {name: one, when: task.stopped, do: {http.post: {to: captioning}}}\n"
TWO = ONE.replace("one", "two")
BROKEN = ONE.replace("task.stopped", "task.stoped")


def acting(book: RuleBook) -> list[str]:
    return [one.rule for one in book.rules.asked(change("task.stopped")).asked]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def test_without_a_file_there_are_no_rules(path: Path) -> None:
    book = RuleBook(path, KNOWN)
    assert (acting(book), book.version, book.problems) == ([], "", ())
    assert not book.refresh()


def test_a_file_that_comes_later_is_read(path: Path) -> None:
    book = RuleBook(path, KNOWN)
    path.write_text(ONE)
    assert book.refresh()
    assert acting(book) == ["one"]


def test_a_changed_file_is_read_again_even_with_the_same_size_at_once(path: Path) -> None:
    path.write_text(ONE)
    book = RuleBook(path, KNOWN)
    before = book.version
    entry = path.stat()
    path.write_text(TWO)
    os.utime(path, ns=(entry.st_atime_ns, entry.st_mtime_ns))
    assert book.refresh()
    assert acting(book) == ["two"]
    assert book.version != before
    assert not book.refresh()


def test_an_old_file_that_has_not_changed_is_not_read_again(path: Path) -> None:
    path.write_text(ONE)
    past = time.time() - 60
    os.utime(path, (past, past))
    book = RuleBook(path, KNOWN)
    assert not book.refresh()
    path.chmod(0)
    assert not book.refresh()
    assert acting(book) == ["one"]


def test_a_broken_file_keeps_the_old_rules_and_says_so(path: Path) -> None:
    path.write_text(ONE)
    book = RuleBook(path, KNOWN)
    version = book.version
    path.write_text(BROKEN)
    assert book.refresh()
    assert (acting(book), book.version) == (["one"], version)
    assert not book.standing.is_current
    assert book.standing.file_version != version
    assert book.shown_problems()[0].startswith('rules.yaml:2:21: unknown change "task.stoped"')
    assert not book.refresh(), "the same broken file is no news"
    path.write_text(TWO)
    assert book.refresh()
    assert (acting(book), book.problems) == (["two"], ())


def test_a_mended_file_with_the_old_text_is_in_order_again(path: Path) -> None:
    path.write_text(ONE)
    book = RuleBook(path, KNOWN)
    path.write_text(BROKEN)
    book.refresh()
    path.write_text(ONE)
    assert book.refresh()
    assert (acting(book), book.standing.is_current) == (["one"], True)


def test_a_file_that_is_broken_from_the_start_has_no_rules_and_says_so(path: Path) -> None:
    path.write_text(BROKEN)
    book = RuleBook(path, KNOWN)
    assert (acting(book), book.version) == ([], "")
    assert book.problems


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"rules: \x00", b"#" * 4_000_001])
def test_a_file_that_can_not_be_read_keeps_the_old_rules(path: Path, raw: bytes) -> None:
    path.write_text(ONE)
    book = RuleBook(path, KNOWN)
    path.write_bytes(raw)
    assert book.refresh()
    assert acting(book) == ["one"]
    assert book.problems


def test_a_file_that_is_gone_keeps_the_old_rules_and_says_how_to_have_none(path: Path) -> None:
    path.write_text(ONE)
    book = RuleBook(path, KNOWN)
    path.unlink()
    assert book.refresh()
    assert acting(book) == ["one"]
    assert "rules: []" in book.shown_problems()[0]
    path.write_text("rules: []\n")
    assert book.refresh()
    assert (acting(book), book.problems) == ([], ())


def test_a_folder_in_its_place_is_a_problem_and_no_crash(path: Path) -> None:
    path.mkdir()
    book = RuleBook(path, KNOWN)
    assert "can't be read" in book.shown_problems()[0]


def test_threads_see_old_or_new_rules_and_nothing_between(path: Path) -> None:
    path.write_text(ONE)
    book = RuleBook(path, KNOWN)
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
    book = RuleBook(path, KNOWN)
    assert not book.standing.is_fit
    path.write_text(ONE)
    assert book.refresh()
    assert book.standing.is_fit


def test_a_book_that_begins_with_a_broken_file_goes_by_the_rules_of_before(path: Path) -> None:
    path.write_text(BROKEN)
    book = RuleBook(path, KNOWN)
    assert not book.adopt(BROKEN), "those are wrong, too"
    assert book.adopt(TWO)
    assert (acting(book), book.standing.is_fit, book.standing.is_current) == (["two"], True, False)
    assert not book.adopt(ONE), "rules are in force"
    assert not book.refresh()
    path.write_text(ONE)
    assert book.refresh()
    assert acting(book) == ["one"]


def test_a_file_that_comes_broken_where_there_was_none_leaves_none_in_force(path: Path) -> None:
    book = RuleBook(path, KNOWN)
    path.write_text(BROKEN)
    assert book.refresh()
    assert book.standing.is_fit
    assert acting(book) == []
