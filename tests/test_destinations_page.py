"""docs/destinations.md holds what the code has: every operation with its kind, every parameter, every example."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from test_destinations_cloudevent import VALIDATOR

from handlers.destinations import OPERATIONS

PAGE = (Path(__file__).parent.parent / "docs" / "destinations.md").read_text()


def test_the_page_names_every_operation_and_its_kind_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `([a-z]+\.[a-z]+)` \| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    assert rows == {name: operation.kind for name, operation in OPERATIONS.items()}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_page_names_every_parameter_of_an_operation_and_no_other(name: str) -> None:
    section = re.split(r"^##+ ", PAGE.partition(f"### {name}\n")[2], flags=re.MULTILINE)[0]
    table = section.partition("| parameter |")[2].partition("\n\n")[0]
    told = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert told == list(OPERATIONS[name].parameters.model_fields)


def test_the_event_that_the_page_shows_keeps_to_the_schema() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    VALIDATOR.validate(json.loads(example))


def test_the_function_that_the_page_shows_can_be_read_and_names_what_is_there() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "docs/destinations.md", "exec"), names)  # noqa: S102 - our own page
    assert callable(names["make"])
