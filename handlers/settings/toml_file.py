"""reelhook.toml: its tables, or every sentence about what is wrong in it."""

from __future__ import annotations

import datetime as dt
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from handlers.settings.kinds import ACCOUNTS, FILLED, REASONS, SECTIONS, TOGETHER, Kind, Section
from handlers.settings.tables import Account, Destination, Match, Queue, Storage, Surroundings, Table
from handlers.settings.values import listed, meant, quoted, read_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

#: what a value should have been, by pydantic's word for the mistake
_EXPECTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
}
_CAME = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
    dt.datetime: "a time",
    dt.date: "a date",
    dt.time: "a time",
}


@dataclass(kw_only=True)
class TomlFile:
    """What stands in the file, by section and name, in the file's order."""

    path: Path
    accounts: dict[str, Account] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    destinations: dict[str, Destination] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    #: sentences about what is wrong
    problems: list[str] = field(default_factory=list)
    #: names of the accounts that are written, right or wrong
    written: list[str] = field(default_factory=list)
    #: the file could be read as TOML at all, or is not there
    readable: bool = True

    def wrong(self, where: str, sentence: str) -> None:
        """Note a problem of one key."""
        self.problems.append(f"{self.path.name}: {where}: {sentence}")


def read_toml(path: Path, environ: Mapping[str, str], *, must_exist: bool) -> TomlFile:
    """Read and check the whole file; one that is not there is empty, unless it must be. Raise nothing."""
    file = TomlFile(path=path)
    document = _document(file, must_exist=must_exist)
    around = Surroundings(environ=environ, folder=path.parent)
    known = [section.name for section in SECTIONS]
    for key in _others(document, known):
        file.wrong(key, f"unknown table{meant(key, known)}; known: {listed(known)}")
    for section in SECTIONS:
        _read_section(file, section, document.get(section.name, {}), around)
    _check_references(file, document)
    _check_storages(file)
    return file


def _document(file: TomlFile, *, must_exist: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        if not must_exist:
            return {}
        problem = f"REELHOOK_CONFIG: there is no file {file.path}"
    except OSError as exc:
        problem = f"REELHOOK_CONFIG: {file.path} can't be read: {exc.strerror}"
    except UnicodeDecodeError as exc:
        problem = f"{file.path.name}: byte {exc.start} is not UTF-8; save the file as UTF-8"
    except tomllib.TOMLDecodeError as exc:
        problem = f"{file.path.name}: is no TOML: {exc}"
    except RecursionError:
        problem = f"{file.path.name}: nests too deep to be read"
    file.problems.append(problem)
    file.readable = False
    return {}


def _read_section(file: TomlFile, section: Section, tables: object, around: Surroundings) -> None:
    if not isinstance(tables, dict):
        file.wrong(section.name, f"{_came(tables)} came; expected tables, [{section.name}.NAME]")
        return
    kept = getattr(file, section.name)
    if section is ACCOUNTS:
        file.written.extend(tables)
    for name, table in tables.items():
        entry = _read_table(file, section, name, table, around)
        if entry is not None:
            kept[name] = entry


def _read_table(file: TomlFile, section: Section, name: str, table: object, around: Surroundings) -> Table | None:
    where = f"{section.name}.{name}"
    try:
        read_name(name)
    except ValueError as exc:
        file.wrong(where, str(exc))
    if not isinstance(table, dict):
        file.wrong(where, f"{_came(table)} came; expected a table, [{where}]")
        return None
    kind = _kind_of(file, section, where, table)
    if kind is None:
        return None
    _check_keys(file, section, kind, where, table)
    try:
        known = {key: value for key, value in table.items() if key in kind.keys}
        return kind.model.model_validate({**known, "name": name}, context=around)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            _tell(file, where, error)
    return None


def _kind_of(file: TomlFile, section: Section, where: str, table: dict[str, Any]) -> Kind | None:
    word, known = table.get(section.selector), listed(section.kinds)
    if word is None:
        file.wrong(where, f'{section.selector} is missing; write {section.selector} = "..." with one of: {known}')
    elif not isinstance(word, str):
        file.wrong(f"{where}.{section.selector}", f"{_came(word)} came; expected one of: {known}")
    elif word not in section.kinds:
        text = f"unknown {section.selector} {quoted(word)}{meant(word, section.kinds)}; known: {known}"
        file.wrong(f"{where}.{section.selector}", text)
    else:
        return section.kinds[word]
    return None


def _check_keys(file: TomlFile, section: Section, kind: Kind, where: str, table: dict[str, Any]) -> None:
    """Tell of keys that are unknown or another kind's, that are missing, or that stand alone."""
    word = table[section.selector]
    for key in _others(table, kind.keys):
        owners = [other for other, its in section.kinds.items() if key in its.keys]
        text = f"belongs to {' and '.join(owners)}, not to {word}" if owners else f"unknown key{meant(key, kind.keys)}"
        file.wrong(f"{where}.{key}", f"{text}; keys of {section.selector} {word}: {listed(sorted(kind.keys))}")
    for key in kind.required:
        if key not in table and kind.instead.get(key) not in table:
            file.wrong(where, f"{key} is missing: {REASONS.get(key, f'{section.selector} {word} needs it')}")
    for needed, key in TOGETHER:
        if key in table and needed not in table and key in kind.keys and needed not in kind.required:
            file.wrong(where, f"{needed} is missing: {key} is of no use without it")
    for key in FILLED:
        if key in kind.keys and table.get(key) == []:
            file.wrong(f"{where}.{key}", "is an empty list; expected at least one entry, or no such key")
    _check_limits(file, kind, where, table.get("limits"))


def _check_limits(file: TomlFile, kind: Kind, where: str, limits: object) -> None:
    if not isinstance(limits, dict):
        return
    for operation in _others(limits, kind.operations):
        text = f"unknown operation{meant(operation, kind.operations)}; known: {listed(kind.operations)}"
        file.wrong(f"{where}.limits.{operation}", text)


def _tell(file: TomlFile, where: str, error: ErrorDetails) -> None:
    """Note what pydantic found; values are not quoted, for any of them may be a secret in the wrong place."""
    word, context = error["type"], error.get("ctx", {})
    key = where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    match word:
        case "missing":
            return
        case "value_error":
            sentence = str(context["error"])
        case "extra_forbidden":
            last = str(error["loc"][-1])
            sentence = f"unknown key{meant(last, Match.model_fields)}; known: {listed(Match.model_fields)}"
        case "greater_than_equal" | "less_than_equal":
            bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
            sentence = f"{error['input']} came; expected {bound}"
        case "literal_error":
            sentence = f"{quoted(str(error['input']))} came; expected {context['expected']}"
        case "string_too_short":
            sentence = "is empty; expected text, or no such key"
        case _ if word in _EXPECTED:
            sentence = f"{_came(error['input'])} came; expected {_EXPECTED[word]}"
        case _:
            sentence = error["msg"]
    file.wrong(key, sentence)


def _others(table: Mapping[str, Any], known: Collection[str]) -> list[str]:
    return [key for key in table if key not in known]


def _came(value: object) -> str:
    return _CAME.get(type(value), "something else")


def _check_references(file: TomlFile, document: Mapping[str, Any]) -> None:
    """Tell of accounts that are named and not there, in tables with other mistakes too."""
    uses = [(f"queues.{name}.account", queue.get("account")) for name, queue in _tables(document, "queues")]
    if file.written:
        matches = [(f"storages.{name}.match", one.get("match")) for name, one in _tables(document, "storages")]
        uses += [(f"{where}.account", match.get("account")) for where, match in matches if isinstance(match, dict)]
    for where, account in uses:
        if isinstance(account, str) and account and account not in file.written:
            text = f"there is no account {quoted(account)}{meant(account, file.written)}; known: {listed(file.written)}"
            file.wrong(where, text)


def _tables(document: Mapping[str, Any], section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    tables = document.get(section)
    if isinstance(tables, dict):
        yield from ((name, table) for name, table in tables.items() if isinstance(table, dict))


def _check_storages(file: TomlFile) -> None:
    """Tell of storages that an earlier one hides: it has the same bucket, and its match fits all that theirs fits."""
    earlier: list[tuple[str, Storage]] = []
    for name, storage in file.storages.items():
        hiding = next((other for other, one in earlier if _is_same_bucket(one, storage) and _hides(one, storage)), None)
        never = f"is never reached: {hiding} has the same bucket"
        if hiding is None:
            earlier.append((name, storage))
        elif file.storages[hiding].match == storage.match:
            file.wrong(f"storages.{name}", f"{never} and match; take one of them out")
        else:
            why = f"{never}, stands first, and its match fits all of these files"
            file.wrong(f"storages.{name}", f"{why}; write {name} first")


def _is_same_bucket(one: Storage, other: Storage) -> bool:
    return (one.kind, one.region, one.bucket) == (other.kind, other.region, other.bucket)


def _hides(first: Storage, later: Storage) -> bool:
    """Tell whether every file that the later storage's match fits is one that the first one's fits."""
    wide, narrow = first.match, later.match
    pairs = (
        (wide.account, narrow.account),
        (wide.app_id, narrow.app_id),
        (wide.business_id, narrow.business_id),
        (wide.type, narrow.type),
    )
    prefix = narrow.task_prefix or ""
    return all(one is None or one == other for one, other in pairs) and prefix.startswith(wide.task_prefix or "")
