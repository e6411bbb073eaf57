"""The OpenAPI document and its page: valid, complete, and shown without asking any other machine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pytest
from conftest import API_TOKEN, TOKEN
from openapi_spec_validator import validate
from program import request, running

from handlers.vendors import VENDORS
from webhook.app import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from program import Program

    from handlers.settings import Settings

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Return a running web process with one account, on SQLite."""
    folder = tmp_path_factory.mktemp("openapi")
    config = folder / "reelhook.toml"
    config.write_text('[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:LESSONS_TOKEN"]\n')
    environ = {
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "LESSONS_TOKEN": TOKEN,
    }
    with running(environ, "web", log=folder / "log") as program:
        program.ready()
        yield program


SCHEMA = "/api/v1/schemas/cloudevent.json"


@pytest.fixture(scope="module")
def document(server: Program) -> dict[str, Any]:
    """Return the document as it is served."""
    answer = request("GET", f"{server.url}/openapi.json")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    return dict(answer.json())


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, told) for path, item in document["paths"].items() for method, told in item.items()]


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_the_document_tells_every_operation(document: dict[str, Any]) -> None:
    kinds = ("recordings", "segments", "tasks", "deliveries", "refusals", "actions")
    expected = {("get", f"/api/v1/{kind}") for kind in kinds} | {("get", f"/api/v1/{kind}/{{id}}") for kind in kinds}
    for path in ("deliveries/replay", "deliveries/{id}/replay", "refusals/release", "refusals/{id}/release"):
        expected.add(("post", f"/api/v1/{path}"))
    for name in ("retry", "stop", "go", "{id}/retry", "{id}/cancel", "{id}/result"):
        expected.add(("post", f"/api/v1/actions/{name}"))
    expected |= {("get", f"/api/v1/{path}") for path in ("actions/stopped", "rules", "rules/{name}")}
    expected |= {("post", "/callbacks/{vendor}/{account}"), ("get", SCHEMA)}
    assert {(method, path) for path, method, _ in operations(document)} == expected


def test_every_error_is_told_as_a_problem_with_its_schema(document: dict[str, Any]) -> None:
    for path, method, told in operations(document):
        errors = {status: answer for status, answer in told["responses"].items() if status[0] in "45"}
        if path == SCHEMA:
            assert set(errors) == {"400", "405", "500"}
            continue
        assert {"400", "401", "405", "500", "503"} <= set(errors), (method, path)
        for status, answer in errors.items():
            assert answer["content"] == {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}, (path, status)
            assert answer["description"]
        assert "WWW-Authenticate" in errors["401"]["headers"]
        assert "Allow" in errors["405"]["headers"]
        assert "Retry-After" in errors["503"]["headers"]
    assert set(document["components"]["schemas"]["Problem"]["required"]) == {"type", "title", "status", "detail"}


def test_every_operation_and_parameter_is_described(document: dict[str, Any]) -> None:
    seen = set()
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for path, method, told in operations(document):
        assert told["summary"], (method, path)
        assert set(told["tags"]) <= tags
        assert told["operationId"] not in seen
        seen.add(told["operationId"])
        for parameter in told.get("parameters", ()):
            assert parameter["description"], (path, parameter["name"])
    for name, schema in document["components"]["schemas"].items():
        for field, told in schema.get("properties", {}).items():
            assert field == "items" or told.get("description"), (name, field)


def test_every_question_needs_the_token_and_neither_a_callback_nor_the_schema_does(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, _, told in operations(document):
        assert told["security"] == ([] if path.startswith("/callbacks") or path == SCHEMA else [{"token": []}])


def test_the_callback_is_told_for_the_vendors_that_there_are(document: dict[str, Any]) -> None:
    told = document["paths"]["/callbacks/{vendor}/{account}"]["post"]
    vendor = next(parameter for parameter in told["parameters"] if parameter["name"] == "vendor")
    assert vendor["schema"]["enum"] == sorted(VENDORS)


def test_documenting_a_callback_does_not_read_its_body(server: Program) -> None:
    url = f"{server.url}/callbacks/aliyun/lessons?token={TOKEN}"
    answer = request("POST", url, b"\xff no json", headers={"Content-Type": "application/json"})
    assert answer.status == 200
    assert answer.json()["status"] == "quarantined"


def test_the_document_and_its_page_need_no_token_and_tell_no_secret(server: Program, document: dict[str, Any]) -> None:
    page = request("GET", f"{server.url}/docs")
    assert page.status == 200
    for text in (page.body.decode(), json.dumps(document)):
        assert TOKEN not in text
        assert API_TOKEN not in text


def test_the_page_holds_no_inline_script_and_names_no_other_machine(server: Program) -> None:
    page = request("GET", f"{server.url}/docs")
    text = page.body.decode()
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert not re.search(r"<style|\son\w+=|\sstyle=|//", text.replace("<!DOCTYPE", ""))
    policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
    assert policy["script-src"] == "'self'"
    assert policy["default-src"] == "'none'"
    for name in re.findall(r'(?:src|href)="([^"]+)"', text):
        answer = request("GET", f"{server.url}/{name}")
        assert answer.status == 200, name
        assert answer.body


@pytest.mark.parametrize("name", ["page.html", "../models.py", "..%2fmodels.py", "js/nothing.js"])
def test_the_page_gives_out_its_own_files_only(server: Program, name: str) -> None:
    assert request("GET", f"{server.url}/docs/{name}").status == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("only", ["api", None])
def test_callbacks_are_told_of_where_they_are_taken_and_the_page_is_found(settings: Settings, only: str | None) -> None:
    client = create_app(settings, only=only).test_client()
    document = client.get("/openapi.json").get_json()
    validate(document)
    assert ("/callbacks/{vendor}/{account}" in document["paths"]) == (only is None)
    assert ("callbacks" in str(document["tags"])) == (only is None)
    for path in ("/", "/docs/"):
        answer = client.get(path)
        assert answer.status_code == 302
        assert urljoin(path, answer.headers["Location"]) == "/docs"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", ["/", "/docs", "/docs/", "/openapi.json"])
def test_where_callbacks_are_taken_alone_there_is_no_page(settings: Settings, path: str) -> None:
    answer = create_app(settings, only="callbacks").test_client().get(path)
    assert answer.status_code == 404
    assert "there is nothing at" in answer.text


@pytest.fixture(scope="module")
def chromium() -> str:
    """Return the path of a Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on PATH; apt-get install chromium, and this test looks at the page in it")
    return found


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page."""

    dom: str
    #: its console: errors, and violations of the page's policy
    said: list[str]
    #: what was requested for the page
    asked: list[str]


def look(chromium: str, url: str, folder: Path) -> Seen:
    """Open the page in a browser without a window."""
    log = folder / "net.json"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder}/profile",
        "--enable-logging=stderr",
        f"--log-net-log={log}",
        "--virtual-time-budget=20000",
        "--dump-dom",
        url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(done.stdout.replace("\u200b", "").replace("<wbr>", ""), said, asked_by_page(log.read_text(), url))


def asked_by_page(log: str, page: str) -> list[str]:
    """Return what was requested for the page, leaving out what the browser asks of its own accord."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(page))
    # One event stands in one line, after the constants; the file is cut where the browser ended.
    lines = (line.rstrip().rstrip(",").removesuffix("],") for line in log.splitlines()[1:])
    told = [json.loads(line).get("params", {}) for line in lines if line.startswith("{") and line.endswith("}")]
    ours = [one for one in told if origin in (one.get("initiator"), one.get("url", "")[: len(origin)])]
    return [params["url"] for params in ours if "://" in params.get("url", "")]


def test_a_browser_shows_the_operations_and_asks_no_other_machine(
    server: Program, chromium: str, tmp_path: Path
) -> None:
    seen = look(chromium, f"{server.url}/docs", tmp_path)
    for path in ("/api/v1/recordings", "/api/v1/deliveries/{id}/replay", "/callbacks/{vendor}/{account}"):
        assert path in seen.dom
    assert "opblock" in seen.dom
    assert not seen.said
    assert f"{server.url}/openapi.json" in seen.asked
    assert {urlsplit(url).netloc for url in seen.asked} == {urlsplit(server.url).netloc}


class Naughty(BaseHTTPRequestHandler):
    """A page that breaks its own policy and asks another machine."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Security-Policy", "script-src 'self'")
        self.end_headers()
        self.wfile.write(b"<script>1</script><img src=http://elsewhere.invalid/x.png>")

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def test_the_browser_would_tell_of_a_violation_and_of_another_machine(chromium: str, tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Naughty) as naughty:
        thread = threading.Thread(target=naughty.serve_forever)
        thread.start()
        try:
            seen = look(chromium, f"http://127.0.0.1:{naughty.server_port}/", tmp_path)
        finally:
            naughty.shutdown()
            thread.join()
    assert any("Content Security Policy" in line for line in seen.said)
    assert "http://elsewhere.invalid/x.png" in seen.asked
