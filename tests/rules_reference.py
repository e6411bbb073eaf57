"""Writes the tables of docs/rules.md that follow from the code; `python tests/rules_reference.py` puts them in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.rules.change import VARIABLES
from handlers.rules.keys import BATCH_KEYS, LIMITS_KEYS, RETRY_KEYS, RULE_KEYS, SAMPLE_KEYS
from handlers.rules.known import every_operation
from handlers.rules.model import derived_name, sequence_name
from handlers.rules.parameters import own_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.rules.model import OperationLike

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
_LONGEST_PATH = 6


def blocks() -> dict[str, str]:
    """Return every generated part of the page, by the name that stands in its marks."""
    inner = [*_inner("limits", LIMITS_KEYS), *_inner("batch", BATCH_KEYS), *_inner("retry", RETRY_KEYS)]
    operations = [line for name, one in every_operation().items() for line in _operation(name, one)]
    return {
        "changes": _table(("change", "what a condition or value may name"), _changes()),
        "keys": _table(("key", "meaning"), _keys(RULE_KEYS)),
        "inner keys": _table(("key", "meaning"), inner),
        "test keys": _table(("key", "meaning"), _keys(SAMPLE_KEYS)),
        "operations": "\n".join(operations).rstrip(),
    }


def put_in(page: str) -> str:
    """Return the page with every generated part as it has to be."""
    for name, text in blocks().items():
        pattern = rf"(<!-- {name}: generated -->\n).*?(<!-- end of {name} -->)"
        page, count = re.subn(pattern, lambda match, text=text: f"{match[1]}{text}\n{match[2]}", page, flags=re.DOTALL)  # type: ignore[misc] # mypy knows no lambda with a default
        assert count == 1, f"the page has no marks for {name}"
    return page


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _changes() -> Iterator[tuple[str, str]]:
    for name, variables in VARIABLES.items():
        yield f"`{name}`", " ".join(f"`{one}`" for one in variables)


def _keys(keys: Mapping[str, tuple[Any, str]], before: str = "") -> list[tuple[str, str]]:
    return [(f"`{before}{name}`", meaning) for name, (_, meaning) in keys.items()]


def _inner(name: str, keys: Mapping[str, tuple[Any, str]]) -> list[tuple[str, str]]:
    return _keys(keys, f"{name}.")


def _operation(name: str, operation: OperationLike) -> Iterator[str]:
    schema = operation.parameters.model_json_schema(by_alias=True)
    made = dict.fromkeys(own_names(operation), "of its event") | {derived_name(operation): "made of rule and change"}
    made |= {sequence_name(operation): "counted by Reelhook"}
    yield from (f"### `{name}`", "")
    yield from (f"- {caveat.text}" for caveat in operation.warnings)
    if operation.feeds:
        changes = ", ".join(f"`{one}`" for one in sorted(operation.feeds))
        yield f"- it can bring about {changes}: a rule on these needs a brake"
    if page := getattr(operation, "page", ""):
        yield f"- documented at {page}"
    if operation.warnings or operation.feeds or page:
        yield ""
    yield _table(("parameter", "", "expected"), list(_parameters(schema, schema, made)))
    yield ""


def _parameters(
    part: Any, schema: Any, made: Mapping[str | None, str], before: str = "", depth: int = 0
) -> Iterator[tuple[str, str, str]]:
    for name, inner in part.get("properties", {}).items():
        path = f"{before}{name}"
        is_required = name in part.get("required", ())
        need = made.get(path) or ("required" if is_required else "")
        below = list(_below(inner, schema))
        yield f"`{path}`", need, _expected(inner)
        for suffix, one in below if depth < _LONGEST_PATH else ():
            yield from _parameters(one, schema, made, f"{path}{suffix}.", depth + 1)


def _below(part: Any, schema: Any, suffix: str = "") -> Iterator[tuple[str, Any]]:
    """Return the objects that a parameter holds, and how they stand in it."""
    if reference := part.get("$ref"):
        yield suffix, schema["$defs"][reference.rsplit("/", 1)[-1]]
    for one in part.get("anyOf", ()):
        yield from _below(one, schema, suffix)
    if isinstance(part.get("items"), dict):
        yield from _below(part["items"], schema, f"{suffix}[]")


def _expected(part: Any) -> str:
    told = part.get("description") or next(
        (one["description"] for one in part.get("anyOf", ()) if "description" in one), ""
    )
    return re.sub(r"\s+", " ", told).replace("|", "\\|") or _type(part)


def _type(part: Any) -> str:
    types = [part.get("type"), *(one.get("type") for one in part.get("anyOf", ()))]
    return " or ".join(one for one in types if one and one != "null") or "an object"


if __name__ == "__main__":
    PAGE.write_text(put_in(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
