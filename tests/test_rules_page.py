"""The page on rules names all that there is, and every rule on it works as its own tests say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from rules_reference import PAGE, put_in

from handlers.events import KINDS
from handlers.rules import Known, Rules
from handlers.rules.change import FIELDS
from handlers.rules.keys import RULE_KEYS, schema
from handlers.rules.known import every_operation
from handlers.rules.nodes import read_nodes
from handlers.rules.problems import Findings
from handlers.rules.rule_file import read_rules
from handlers.rules.samples import plain, run_samples

if TYPE_CHECKING:
    from typing import Any

_TEXT = PAGE.read_text(encoding="utf-8")
_EXAMPLES = re.findall(r"```yaml\n(.*?)```", _TEXT, flags=re.DOTALL)
_SCHEMA = Path(__file__).parent.parent / "handlers" / "rules" / "rules.schema.json"

KNOWN = Known(
    operations=every_operation(),
    vendors=("aliyun", "huawei", "volcengine"),
    accounts=(("aliyun", "lessons"), ("volcengine", "classroom"), ("volcengine", "evening"), ("huawei", "clinic")),
    destinations=dict.fromkeys(("captioning", "archive", "alerts", "transcoder"), "http"),
)


def as_json(text: str) -> Any:
    node = read_nodes(text, Findings())
    return None if node is None else plain(node)


@pytest.mark.parametrize("text", _EXAMPLES, ids=lambda text: text.split("name: ", 1)[1].split("\n", 1)[0])
def test_every_rule_of_the_page_works_as_its_tests_say(text: str) -> None:
    file = read_rules(text, KNOWN)
    assert [one.shown("rules.yaml") for one in file.errors] == []
    assert all(rule.samples for rule in file.rules)
    rules = Rules(file.rules, KNOWN)
    assert [one.shown("rules.yaml") for one in run_samples(rules, KNOWN)] == []


def test_there_are_ten_worked_rules_that_can_stand_in_one_file() -> None:
    together = "rules:\n" + "".join(text.removeprefix("rules:\n") for text in _EXAMPLES)
    file = read_rules(together, KNOWN)
    assert [one.shown("rules.yaml") for one in file.errors] == []
    assert len(file.rules) == len(_EXAMPLES) >= 12
    assert re.findall(r"^### (\d+)\. ", _TEXT, flags=re.MULTILINE) == [str(number) for number in range(1, 11)]


def test_every_sample_is_able_to_fail() -> None:
    for text in _EXAMPLES:
        rules = read_rules(re.sub(r"expect: \[\]", "expect: [{refused: nothing}]", text), KNOWN).rules
        wrong = run_samples(Rules(rules, KNOWN), KNOWN)
        assert len(wrong) == text.count("expect: []")


def test_the_generated_parts_are_as_the_code_has_them() -> None:
    assert put_in(_TEXT) == _TEXT, "run python tests/rules_reference.py"


def test_every_field_stands_on_the_page_with_its_type() -> None:
    for view, fields in FIELDS.items():
        section = _TEXT.split(f"### `{view}`\n", 1)[1].split("\n#", 1)[0]
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, flags=re.MULTILINE)
        assert dict(rows) == dict(fields), view


def test_every_operation_and_change_stands_on_the_page() -> None:
    for name in every_operation():
        assert f"### `{name}`" in _TEXT
    for name in KINDS:
        assert f"| `{name}` |" in _TEXT


def test_the_schema_for_editors_is_as_the_code_has_it() -> None:
    wanted = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    assert _SCHEMA.read_text(encoding="utf-8") == wanted, "write handlers.rules.keys.schema() into it"
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("text", [*_EXAMPLES, "", "rules:\n", "rules: []\n"])
def test_the_schema_takes_every_rule_of_the_page(text: str) -> None:
    jsonschema.Draft202012Validator(schema()).validate(as_json(text))


@pytest.mark.parametrize(
    "mistake",
    [
        "an-unknown-key",
        "an-unknown-change",
        "no-when",
        "an-unknown-mode",
        "a-limit-without-a-span",
        "a-batch-without-an-end",
        "two-operations-in-one-step",
        "a-test-with-an-unknown-field",
        "a-number-for-a-name",
        "a-span-of-nothing",
        "a-limit-of-none",
        "delays-of-none",
        "a-test-that-expects-a-word",
    ],
)
def test_the_schema_knows_mistakes_of_form(mistake: str) -> None:
    path = Path(__file__).parent / "fixtures" / "rules" / f"{mistake}.yaml"
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(as_json(path.read_text(encoding="utf-8"))))


def test_the_schema_describes_every_key() -> None:
    properties = schema()["properties"]["rules"]["items"]["properties"]
    assert set(properties) == set(RULE_KEYS)
    assert all(one["description"] for one in properties.values())
