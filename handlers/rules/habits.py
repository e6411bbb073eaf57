"""What people write in expressions who come from other languages, and how CEL has it."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from handlers.rules.literals import blanked

if TYPE_CHECKING:
    from collections.abc import Iterator

_AND: Final = "write && for and"
_OR: Final = "write || for or"
_EQUAL: Final = "write == to compare"
_UNEQUAL: Final = "write != for unequal"
#: what CEL has not, and what to write: `\g<...>` is a part of what stands there
_HABITS: Final = tuple(
    (re.compile(pattern), cure)
    for pattern, cure in (
        (r"\$\{", "${ } stands around an expression, and in values alone; leave it out here"),
        (r"\$(?=\w)", "write names without it"),
        (r"(?<![=!<>])===(?!=)", _EQUAL),
        (r"!==|<>", _UNEQUAL),
        (r"(?<![=!<>])=[<>]", "write >= for at least, and <= for at most"),
        (r"(?<![=!<>])=(?![=<>])", _EQUAL),
        (r"(?<!&)&(?!&)", _AND),
        (r"(?<!\|)\|(?!\|)", _OR),
        (r"(?<![\w.])(?:and|AND)\b", _AND),
        (r"(?<![\w.])(?:or|OR)\b", _OR),
        (r"(?<![\w.])is\s+not\b", _UNEQUAL),
        (r"(?<![\w.])is\b(?!\s+not\b)", _EQUAL),
        (r"(?<![\w.])not\s+in\b", 'write ! before all of it, as in !(task.type in ["push"])'),
        (r"(?<![\w.])(?<!is )(?:not|NOT)\b(?!\s+in\b)", "write ! for not, as in !has(task.reason)"),
        (r"(?<![\w.])in\s*\((?=[^)]*,)", 'write a list in [ ], as in task.type in ["record", "push"]'),
        (
            r"(?<=[\w)\]]) +(?P<name>contains|startsWith|endsWith|matches|like)\b(?!\s*\()",
            'write a call, as in task.room_id.startsWith("a"); there are contains, startsWith, endsWith and matches',
        ),
        (r"(?<![\w.])(?P<span>\d+(?:ms|s|m|h))\b", r'write duration("\g<span>") for a span'),
        (r"(?<![\w.])\d+d\b", 'write a span in hours, as in duration("24h")'),
        (r"^\s*if\b", "a condition is written without it"),
        (r"#", "it begins no comment in a block or in quotes: write that above, on a line of its own"),
    )
)
#: what a name is called here
_NAMES: Final = {
    **dict.fromkeys(("len", "length", "count"), "how many there are is size(...)"),
    **dict.fromkeys(
        ("now", "today"), "there is no clock in an expression: event.at is when it happened, and max_age bounds its age"
    ),
    **dict.fromkeys(("None", "nil", "NULL", "Null", "undefined"), "what is absent is null"),
    **dict.fromkeys(("True", "TRUE"), "it is written true"),
    **dict.fromkeys(("False", "FALSE"), "it is written false"),
    **dict.fromkeys(("beginsWith", "startswith", "starts_with", "hasPrefix"), "write startsWith(...)"),
    **dict.fromkeys(("endswith", "ends_with", "hasSuffix"), "write endsWith(...)"),
    **dict.fromkeys(("includes", "include"), "write contains(...)"),
    **dict.fromkeys(("lower", "toLower", "toLowerCase"), "write lowerAscii()"),
    **dict.fromkeys(("upper", "toUpper", "toUpperCase"), "write upperAscii()"),
    **dict.fromkeys(("date", "time", "datetime"), 'a time is written timestamp("2020-09-02T10:23:54Z")'),
    **dict.fromkeys(("any", "some"), "write exists(...)"),
}
#: quotes of writing, and what belongs between them
_MARKS: Final = "\u201c-\u201f\u2018-\u201b\u00ab\u00bb\u300c-\u300f\uff02\uff07`"
_QUOTES: Final = re.compile(f"[{_MARKS}][^{_MARKS}]*[{_MARKS}]?")


def cures(expression: str) -> Iterator[tuple[int, str]]:
    """Yield which character is no CEL, and what to write; for an expression that can't be read."""
    # What follows a # was meant as a comment; and what stands in quotes of any kind is text.
    text = blanked(expression)
    quotes = tuple(_QUOTES.finditer(text))
    text = _QUOTES.sub(lambda found: "_" * len(found[0]), text)
    end = text.find("#") + 1 or len(text)
    for quote in quotes[:1]:
        if quote.start() < end:
            yield quote.start(), f"`{quote[0][0]}` is no CEL; write a text in \" or in '"
    for index, character in enumerate(text[:end]):
        ours = unicodedata.normalize("NFKC", character)
        if ours != character and ours.isascii():
            yield index, f"`{character}` is no CEL, being a character of full width; write {ours.strip() or 'a blank'}"
            break
    for pattern, cure in _HABITS:
        if (found := pattern.search(text[:end])) is not None:
            shown = expression[found.start() : found.end()].strip()
            at = found.end() - len(found[0].lstrip())
            yield at, f"`{shown}` is no CEL; {found.expand(cure)}"


def called_here(name: str) -> str | None:
    """Say what a name of other languages is called here; None: it is no such name."""
    return _NAMES.get(name.rsplit(".", 1)[-1])
