"""The keys of a file of rules: what each may hold, and what it means; schema and documentation say the same."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from handlers.destinations.handover import MOST_OF_BATCH
from handlers.events import KINDS
from handlers.rules.change import FIELDS
from handlers.rules.model import MODES, SCOPES

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION: Final = {"type": "string", "pattern": "^0*[1-9][0-9]{0,11}(ms|s|m|h|d)$"}
_LIMIT: Final = {"type": "string", "pattern": "^0*[1-9][0-9]{0,8} ?/ ?(0*[1-9][0-9]{0,8})?(ms|s|m|h|d)$"}
_WHOLE: Final = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
_CHANGE: Final = {"enum": list(KINDS)}
_NAMES: Final = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_STEP: Final = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "propertyNames": {"pattern": "^[a-z]+[.][a-z_]+$"},
    "additionalProperties": {"type": ["object", "null"]},
}
_VIEW: Final = {
    view: {"type": "object", "additionalProperties": False, "properties": {name: {} for name in fields}}
    for view, fields in FIELDS.items()
}


def _map(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a schema
    told: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return told | ({"required": required} if required else {})


_EXPECT: Final = (
    "the calls that follow, in order, with the parameters that the rule writes; `[]`: none; "
    "`- refused: WORDS`: a call that its API would refuse, for a reason with these words; "
    "`- failed: WORDS`: none, for the condition has no value, for a reason with these words"
)

_EXPECTED: Final = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {"refused": {"type": "string"}, "failed": {"type": "string"}},
    "additionalProperties": {"type": ["object", "null"]},
}

#: of a sample in `tests`: name -> (JSON Schema, what it means)
SAMPLE_KEYS: Final[Mapping[str, tuple[Any, str]]] = MappingProxyType(
    {
        "name": ({"type": "string"}, "what the sample shows; its number by default"),
        "change": (_CHANGE, "the change; the first of `when` by default"),
        "vendor": ({"type": "string"}, "the vendor; by default that of the rule's calls"),
        "account": ({"type": "string"}, "the account; the first of `accounts`, else `default`"),
        "age": (_DURATION, "how old the event is; 0 by default"),
        "event": (_VIEW["event"], "fields of the event that matter"),
        "task": (_VIEW["task"], "fields of the task that matter"),
        "recording": (_VIEW["recording"], "fields of the recording that matter"),
        "segment": (_VIEW["segment"], "fields of the segment that matter"),
        "expect": (
            {"type": "array", "items": _EXPECTED},
            _EXPECT,
        ),
    }
)

LIMITS_KEYS: Final = {"rule": (_LIMIT, "in all"), "task": (_LIMIT, "for one task")}
BATCH_KEYS: Final = {
    "max": (_WHOLE | {"maximum": MOST_OF_BATCH}, "changes in one call, at most"),
    "within": (_DURATION, "how long a change may wait for others"),
}
RETRY_KEYS: Final = {
    "tries": (_WHOLE, "tries in all, the first included"),
    "within": (_DURATION, "how long after the first try there may be others"),
    "delays": ({"type": "array", "items": _DURATION, "minItems": 1}, "the waits between tries; the last counts on"),
}


def _schemas(keys: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
    return {name: schema | {"description": meaning} for name, (schema, meaning) in keys.items()}


#: of a rule: name -> (JSON Schema, what it means)
RULE_KEYS: Final[Mapping[str, tuple[Any, str]]] = MappingProxyType(
    {
        "name": ({"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}, "its name, which no other rule has"),
        "when": (
            {"anyOf": [_CHANGE, {"type": "array", "items": _CHANGE, "minItems": 1}]},
            "the change that it waits for, or a list of changes",
        ),
        "if": ({"type": ["string", "boolean"]}, "a condition in CEL; without it every such change matches"),
        "accounts": (_NAMES, "the accounts that it is for; all by default"),
        "enabled": ({"type": "boolean"}, "`false` switches it off; `true` by default"),
        "once_per": (
            {"enum": list(SCOPES)},
            "it acts once for each `subject` (the default: recording, segment or task), `task`, `room` or `account`",
        ),
        "for": (_DURATION, "after this span `once_per` begins anew; never by default"),
        "mode": ({"enum": list(MODES)}, "`shadow`: planned and shown, never sent; `live` by default"),
        "max_age": (
            {"anyOf": [_DURATION, {"const": "none"}]},
            "older events are ignored; `10m` by default for vendors' calls, `none` for destinations",
        ),
        "limits": (
            _map(**_schemas(LIMITS_KEYS)),
            "how often it acts at most: `rule` in all, `task` for one task, each as in `20/1h`",
        ),
        "batch": (
            _map(["max", "within"], **_schemas(BATCH_KEYS)),
            "changes are handed over together; for destinations only: `max` of them, none waiting longer than `within`",
        ),
        "retry": (
            {"anyOf": [_map(**_schemas(RETRY_KEYS)), {"const": "off"}]},
            "further tries: `tries` in all, `within` a span, `delays` between them; `off`: one try",
        ),
        "do": (
            {"anyOf": [_STEP, {"type": "array", "items": _STEP, "minItems": 1}]},
            "the steps: an operation each, with its parameters; a step runs once the one before it is done",
        ),
        "tests": (
            {"type": "array", "items": _map(["expect"], **_schemas(SAMPLE_KEYS))},
            "sample changes and the calls that must follow; `reelhook rules check` runs them",
        ),
    }
)

FILE_KEYS: Final = ("rules",)
REQUIRED: Final = ("name", "when", "do")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a file of rules, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules of Reelhook (rules.yaml)",
        "description": "Editors complete and check by it; `reelhook rules check` knows expressions and parameters too.",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "rules": {"type": ["array", "null"], "items": _map(list(REQUIRED), **_schemas(RULE_KEYS))},
        },
    }
