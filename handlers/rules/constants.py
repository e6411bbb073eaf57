"""What can be seen of an expression without any change: what never has a value, and words that never occur."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final, Literal

from handlers.rules.change import ACCOUNT, VIEWS, Change
from handlers.rules.expressions import Expression, NotAnExpression, Scope
from handlers.rules.literals import TEXT, blanked
from handlers.rules.problems import NoValue
from handlers.rules.words import SOURCES, never, words_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from handlers.rules.nodes import Scalar
    from handlers.rules.problems import Findings

#: where in the expression, what is wrong, and whether it stops the rules
Seen = tuple[int, str, Literal["error", "warning"]]

#: a change that has every expression's least: what names nothing means the same for all
_ANY: Final = "unknown"
_TEXT: Final = TEXT.pattern
#: calls with a text as it stands: the pattern, an expression that fails as they do, and what is expected
_CALLS: Final = (
    (
        re.compile(rf"(?<![\w.])timestamp\s*\(\s*(?P<text>{_TEXT})\s*\)"),
        "timestamp({})",
        'a time such as "2020-09-02T10:23:54Z"',
    ),
    (
        re.compile(rf"(?<![\w.])duration\s*\(\s*(?P<text>{_TEXT})\s*\)"),
        "duration({})",
        'a span such as "90s", "10m" or "12h"',
    ),
    (
        re.compile(rf"(?<![\w.])int\s*\(\s*(?P<text>{_TEXT})\s*\)"),
        "int({})",
        'a whole number such as "60"',
    ),
    (
        re.compile(rf"\.\s*matches\s*\(\s*(?P<text>{_TEXT})\s*\)"),
        '"".matches({})',
        "a regular expression (RE2)",
    ),
    (
        re.compile(rf"\.\s*get[A-Z]\w+\s*\(\s*(?P<text>{_TEXT})\s*\)"),
        'timestamp("2020-09-02T10:23:54Z").getHours({})',
        'a time zone such as "Asia/Shanghai" or "+08:00"',
    ),
)
_BY_NOTHING: Final = re.compile(r"[/%]\s*0(?![\w.])")
_VARIABLE: Final = re.compile(rf"(?<![\w.])(?:{'|'.join((*VIEWS, ACCOUNT))})(?!\w)")
_FIELD: Final = rf"(?<![\w.])(?P<what>(?P<view>{'|'.join(VIEWS)})\s*\.\s*(?P<field>\w+)|{ACCOUNT})"
_WORD: Final = r"""(?:"[^"\\\n]*"|'[^'\\\n]*')"""
_LITERAL: Final = rf"(?P<text>{_WORD})"
#: a field held against a word, either way round, or against a list of words
_COMPARED: Final = (
    re.compile(rf"{_FIELD}\s*[=!]=\s*{_LITERAL}(?!\s*[.+\[])"),
    re.compile(rf"{_LITERAL}\s*[=!]=\s*{_FIELD}(?![\w(])(?!\s*[.+\[(])"),
)
_LISTED: Final = re.compile(rf"{_FIELD}\s+in\s*\[(?P<list>\s*(?:{_WORD}\s*,\s*)*(?:{_WORD}\s*)?)\](?!\s*[.+\[])")
_STREAM: Final = re.compile(
    r"(?<![\w.])(?:recording|segment)\s*\.\s*streams\s*\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*(?P<name>\w+)\s*,"
)
#: a loop over something else that takes the name of a view
_BOUND: Final = re.compile(rf"\(\s*(?:{'|'.join((*VIEWS, ACCOUNT))})\s*,")
_ASK_FOR_NULL: Final = "write == null or != null, or has(...)"
_ARITHMETIC: Final = re.compile(r"[-+*/%]\s*$")


def seen_through(expression: Expression, configured: Mapping[str, Collection[str]]) -> Iterator[Seen]:
    """Yield what is wrong in an expression whatever the change is; for `configured` see words.words_of."""
    text = expression.text
    bare = blanked(text)
    if expression.kind == "optional":
        yield 0, "its value is an optional; end it with .orValue(...), or name the field without ?", "error"
    failing = tuple(_failing(text, bare))
    yield from failing
    if not failing and not _VARIABLE.search(bare) and isinstance(reason := _constant(expression), NoValue):
        yield 0, f"it never has a value: {reason}", "error"
    for at, said in _never(text, bare, configured):
        yield at, said, "error"
    for literal in TEXT.finditer(text):
        if bare[literal.start()] == "_" and "${" in literal[0]:
            begin = literal.start() + literal[0].index("${")
            yield begin, "${ } within a text of an expression stands for itself; add texts with +", "warning"


def warn_of_constant(node: Scalar, expression: Expression, findings: Findings) -> None:
    """Warn of a condition that every change fulfils, or none."""
    if _VARIABLE.search(blanked(expression.text)):
        return
    value = _constant(expression)
    if value is True:
        findings.warn(node.place, "the condition holds for every change; leave `if` out")
    elif value is False:
        findings.warn(node.place, "the condition holds for no change; `enabled: false` switches a rule off")


def _failing(text: str, bare: str) -> Iterator[Seen]:
    for pattern, sample, expected in _CALLS:
        for found in pattern.finditer(text):
            if bare[found.start()] == text[found.start()] and _fails(sample.format(found["text"])):
                yield found.start("text"), f"{found['text']} has no meaning here; expected {expected}", "error"
    for found in _BY_NOTHING.finditer(bare):
        yield found.start(), "it divides by 0, which has no value", "error"


@lru_cache(maxsize=1024)
def _fails(text: str) -> bool:
    """Tell whether an expression that names nothing of a change has no value."""
    try:
        return isinstance(_constant(Expression(text, _ANY)), NoValue)
    except NotAnExpression:
        return False


def _constant(expression: Expression) -> object:
    """Return the value of an expression that names nothing of the change; NoValue, as a value, where it has none."""
    try:
        return expression.evaluate(_nothing())
    except NoValue as exc:
        return exc


@cache
def _nothing() -> Scope:
    return Scope(Change(name=_ANY, subject="", vendor="", account="", at=0, delivery=""))


def _never(text: str, bare: str, configured: Mapping[str, Collection[str]]) -> Iterator[tuple[int, str]]:
    for found in () if _BOUND.search(bare) else _asked_for(text, bare):
        view, field = found["view"] or "event", found["field"] or ACCOUNT
        known = configured.get(ACCOUNT) if found["view"] is None else words_of(view, field, configured)
        what = found["what"] if found["view"] is None else f"{view}.{field}"
        for at, word in _literals(found):
            if known is not None and word not in known:
                yield at, never(what, word, known, absent=_ASK_FOR_NULL if found["view"] else "")
    for stream in _STREAM.finditer(bare):
        name = re.escape(stream["name"])
        for source in re.finditer(rf"(?<![\w.]){name}\s*\.\s*source\s*[=!]=\s*{_LITERAL}(?!\s*[.+\[])", text):
            if bare[source.start()] == text[source.start()] and (word := source["text"][1:-1]) not in SOURCES:
                yield source.start("text"), never("the source of a stream", word, SOURCES, absent=_ASK_FOR_NULL)


def _asked_for(text: str, bare: str) -> Iterator[re.Match[str]]:
    for pattern in (*_COMPARED, _LISTED):
        for found in pattern.finditer(text):
            # Not within a text or comment, and no part of a sum.
            stands = bare[found.start("what")] == text[found.start("what")]
            if stands and not _ARITHMETIC.search(text[: found.start()]):
                yield found


def _literals(found: re.Match[str]) -> Iterator[tuple[int, str]]:
    name = "list" if "list" in found.re.groupindex else "text"
    for literal in re.finditer(_WORD, found[name]):
        yield found.start(name) + literal.start(), literal[0][1:-1]
