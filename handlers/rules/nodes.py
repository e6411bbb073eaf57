"""Reads YAML into nodes that know where they stand: by the core rules of YAML 1.2, and nothing beyond them."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from handlers.rules import pitfalls
from handlers.rules.alignment import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.rules.problems import Findings

#: characters of a file of rules
MOST_TEXT: Final = 1_000_000
#: nodes, those counted again that an alias repeats
MOST_NODES: Final = 100_000
#: nodes within nodes
DEEPEST: Final = 40
_LONGEST_NUMBER: Final = 40

_NULL: Final = {"", "~", "null", "Null", "NULL"}
_BOOLEAN: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """A line and a column of the file, counted from 1."""

    line: int
    column: int


class Source:
    """The text of the file, and where its lines begin."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, index: int) -> Place:
        """Return the place of a character."""
        line = bisect_right(self._starts, index)
        return Place(line=line, column=index - self._starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """Return a line without its end."""
        begin = self._starts[number - 1]
        return self.text[begin:].split("\n", 1)[0] if number <= len(self._starts) else ""


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """One value: `value` by the core rules where it is plain, else its text."""

    value: str | bool | int | float | None
    text: str
    #: "" where it is plain, else ' " | or >
    style: str
    begin: int
    end: int
    source: Source = field(repr=False, compare=False)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.source.place(self.begin)

    def place_of(self, offset: int) -> Place:
        """Return the place at which a character of the value stands in the file, folded, quoted or indented."""
        return self.source.place(aligned(self, offset))

    @property
    def is_cut(self) -> bool:
        """A comment follows on its last line."""
        rest = self.source.line(self.source.place(max(self.begin, self.end - 1)).line)
        return not self.style and re.search(r"\s#", rest) is not None


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    begin: int
    source: Source = field(repr=False, compare=False)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.source.place(self.begin)


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """Names and what stands behind them."""

    items: tuple[tuple[Scalar, Node], ...]
    begin: int
    source: Source = field(repr=False, compare=False)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.source.place(self.begin)

    def get(self, name: str) -> Node | None:
        """Return what stands behind a name, if it is there."""
        return next((node for key, node in self.items if key.text == name), None)


Node = Scalar | Sequence | Mapping


def read_nodes(text: str, findings: Findings) -> Node | None:
    """Read the one document of a text; note every problem. None: it is empty, or can't be read."""
    source = Source(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    if len(source.text) > MOST_TEXT:
        findings.error(Place(line=1, column=1), f"the file has {len(text)} characters; expected at most {MOST_TEXT}")
        return None
    reader = _Reader(source, findings)
    try:
        return reader.document(YAML(typ="safe", pure=True).parse(source.text))
    except _Stop:
        return None
    except MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        index = min(mark.index, len(source.text)) if mark is not None else 0
        findings.error(source.place(index), pitfalls.explain(source.text, index, str(exc.problem or exc.context)))
    except (YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as exc:
        # The library meets some broken texts with exceptions of its own inside.
        position = getattr(exc, "position", None)
        place = source.place(position) if isinstance(position, int) else Place(line=reader.line, column=1)
        findings.error(place, _unreadable(exc))
    return None


def _unreadable(exc: Exception) -> str:
    if (character := getattr(exc, "character", None)) is not None:
        code = character if isinstance(character, int) else ord(character)
        return f"the file holds the character U+{code:04X}, which YAML refuses; write it as an escape in quotes"
    return "this is no YAML from here on; an escape such as \\U names no character, or a quote is missing"


class _Stop(Exception):
    """Nothing more can be read."""


class _Reader:
    """Composes nodes from the parser's events."""

    def __init__(self, source: Source, findings: Findings) -> None:
        self.source = source
        self.line = 1
        self._findings = findings
        self._anchors: dict[str, Node | None] = {}
        self._count = 0
        self._sizes: dict[int, int] = {}

    def document(self, events: Iterator[Any]) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(event, "a second document begins here; expected one, without `---` between")
            elif isinstance(event, AliasEvent | ScalarEvent | SequenceStartEvent | MappingStartEvent):
                root = self._node(event, events, depth=0)
        is_empty = isinstance(root, Scalar) and root.value is None
        return None if is_empty else root

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:  # noqa: ANN401 - an event of the parser
        self.line = event.start_mark.line + 1
        if depth > DEEPEST:
            self._stop(event, f"this nests deeper than {DEEPEST}; expected less")
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._counted(event, 1)
        before = self._count
        anchor = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        self._check_tag(event)
        node = self._content(event, events, depth)
        self._sizes[id(node)] = self._count - before + 1
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _content(self, event: Any, events: Iterator[Any], depth: int) -> Node:  # noqa: ANN401 - as _node
        begin = event.start_mark.index
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if isinstance(event, SequenceStartEvent):
            items = []
            while not isinstance(inner := next(events), SequenceEndEvent):
                items.append(self._node(inner, events, depth + 1))
            return Sequence(items=tuple(items), begin=begin, source=self.source)
        return self._mapping(events, begin, depth)

    def _mapping(self, events: Iterator[Any], begin: int, depth: int) -> Mapping:
        pairs: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(inner := next(events), MappingEndEvent):
            key = self._node(inner, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if not isinstance(key, Scalar):
                self._findings.error(key.place, f"a name must be text{pitfalls.in_braces(self.source.text, key.begin)}")
            elif key.text == "<<" and not key.style:
                what = "<< merges maps in YAML 1.1, and is not used here"
                self._findings.error(key.place, f"{what}: write the keys out, or repeat a whole value by its *alias")
            elif "\uff1a" in key.text and not key.style and isinstance(value, Scalar) and value.value is None:
                self._findings.error(key.place, pitfalls.wide_colon(f'"{_short(key.text)}"'))
            elif key.text in pairs:
                first = pairs[key.text][0].place.line
                self._findings.error(key.place, f'"{_short(key.text)}" stands here twice; the first is on line {first}')
            else:
                pairs[key.text] = (key, value)
        return Mapping(items=tuple(pairs.values()), begin=begin, source=self.source)

    def _scalar(self, event: Any) -> Scalar:  # noqa: ANN401 - as _node
        style = event.style or ""
        text = str(event.value)
        return Scalar(
            value=text if style else _plain(text),
            text=text,
            style=style,
            begin=event.start_mark.index,
            end=event.end_mark.index,
            source=self.source,
        )

    def _alias(self, event: Any) -> Node:  # noqa: ANN401 - as _node
        node = self._anchors.get(event.anchor)
        if node is None:
            stands = "inside itself" if event.anchor in self._anchors else "without an &anchor before it"
            hint = "; a value that begins with * is written in quotes"
            self._stop(event, f"*{_short(event.anchor)} stands {stands}{hint}")
        self._counted(event, self._sizes[id(node)])
        return node

    def _counted(self, event: Any, nodes: int) -> None:  # noqa: ANN401 - as _node
        self._count += nodes
        if self._count > MOST_NODES:
            self._stop(event, f"the file comes to more than {MOST_NODES} values, those of aliases counted each time")

    def _check_tag(self, event: Any) -> None:  # noqa: ANN401 - as _node
        if event.tag is not None and event.tag != "!":
            place = self.source.place(event.start_mark.index)
            self._findings.error(place, pitfalls.tag(self.source.text, event.start_mark.index, str(event.tag)))

    def _stop(self, event: Any, text: str) -> NoReturn:  # noqa: ANN401 - as _node
        self._findings.error(self.source.place(event.start_mark.index), text)
        raise _Stop


def _plain(text: str) -> str | bool | int | float | None:
    """Read a plain value by the core rules of YAML 1.2: 020 is 20, `off` and 2020-01-01 are text."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if len(text) <= _LONGEST_NUMBER and _INTEGER.fullmatch(text):
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if len(text) <= _LONGEST_NUMBER and _FLOAT.fullmatch(text):
        number = float(text)
        return text if number in {float("inf"), float("-inf")} else number
    return text


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004 - fits into a line
