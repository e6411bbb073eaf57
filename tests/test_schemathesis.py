"""The API against its own document: every operation, with inputs that fit it and inputs that don't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from callbacks import file_created
from conftest import API_TOKEN, TOKEN
from hypothesis import HealthCheck, given, settings
from program import request, running
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from webhook.api.lists import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from program import Program


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Return a running Reelhook with some deliveries, recordings and refusals, on SQLite."""
    folder = tmp_path_factory.mktemp("schemathesis")
    config = folder / "reelhook.toml"
    config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    environ = {
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
    }
    with running(environ, "serve", log=folder / "log") as program:
        program.ready()
        for number in range(5):
            for token in (TOKEN, "wrong"):
                request("POST", f"{program.url}/callbacks/aliyun/lessons?token={token}", file_created(number))
        yield program


@pytest.fixture(scope="module")
def api(server: Program) -> Any:
    """Return what schemathesis makes of the document."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def operations() -> list[str]:
    asking = [name for kind in KINDS for name in (f"list_{kind.name}", f"show_{kind.noun}")]
    changing = ["replay_delivery", "replay_deliveries", "release_refusal", "release_refusals"]
    changing += ["retry_action", "cancel_action", "record_result", "retry_actions", "stop_actions", "let_actions_go"]
    return [*asking, *changing, "list_stopped", "list_rules", "show_rule", "receive_callback"]


@pytest.mark.parametrize("fits", [True, False], ids=["inputs that fit", "inputs that do not"])
@pytest.mark.parametrize("name", operations())
def test_the_api_does_what_its_document_says(api: Any, name: str, fits: bool) -> None:  # noqa: FBT001 - pytest passes it
    operation = api.find_operation_by_id(name)
    mode = GenerationMode.POSITIVE if fits else GenerationMode.NEGATIVE
    headers = {} if name == "receive_callback" else {"Authorization": f"Bearer {API_TOKEN}"}
    # In a query every value is text: a number there can't be told from one, so only bodies are held to refusing it.
    excluded = [] if operation.body else [negative_data_rejection]

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if fits:
            case.query.pop("cursor", None)  # one that fits stands in an answer of ours, and in no schema
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    check()


def test_every_operation_of_the_document_is_tried(api: Any) -> None:
    assert {found.ok().definition.raw["operationId"] for found in api.get_all_operations()} == {
        *operations(),
        "get_cloudevent_schema",  # it takes nothing that could be wrong
    }
