"""docs/adding-a-vendor.md is true: its lists are those of the house, and the vendor written in it works."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import API_TOKEN
from program import request, running, wait_until
from test_vendors import AGREED_FILES

from handlers.events import Event
from handlers.settings.kinds import ACCOUNTS
from handlers.vendor import Vendor
from handlers.vendors import VENDORS
from webhook.cli import COMMANDS

HOUSE = Path(__file__).parent.parent
PAGE = (HOUSE / "docs" / "adding-a-vendor.md").read_text()
#: path -> text of every block that names a path
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
#: path -> the line behind which the vendor's own stands
ANCHORS = {
    "handlers/vendors/__init__.py": '        "aliyun": aliyun.VENDOR,\n',
    "handlers/settings/kinds.py": '    selector="vendor",\n    kinds=MappingProxyType(\n        {\n',
}


def rows(chapter: str) -> list[list[str]]:
    """Return the cells of the table in a chapter, without its head."""
    text = PAGE.split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "| `" in line[:3]]


def own_files(name: str) -> set[str]:
    return {path.name for path in (HOUSE / "handlers" / "vendors" / name).glob("*.py")}


def test_the_files_that_are_always_needed_are_those_of_every_vendor() -> None:
    needed = {cells[0].strip("`") for cells in rows("The folder") if cells[1] == "always"}
    for_calls = {cells[0].strip("`") for cells in rows("The folder") if cells[1] == "for calls"}
    assert needed | for_calls == set.intersection(*(own_files(name) for name in VENDORS))
    assert needed == {"__init__.py", "signature.py", "callbacks.py"}


def test_every_other_file_that_is_listed_is_an_agreed_one_that_a_vendor_has() -> None:
    listed = {cells[0].strip("`") for cells in rows("The folder")}
    assert listed <= AGREED_FILES
    assert listed <= set.union(*(own_files(name) for name in VENDORS))


def test_the_fields_of_a_vendor_are_explained_exactly() -> None:
    fields = dataclasses.fields(Vendor)
    told = {cells[0].strip("`"): cells[1] for cells in rows("The table of contents")}
    assert list(told) == [field.name for field in fields]
    needed = {
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    assert {name for name, default in told.items() if default == "needed"} == needed
    bare = Vendor(name="x", verify=VENDORS["aliyun"].verify, keys=VENDORS["aliyun"].keys, read=VENDORS["aliyun"].read)
    said = {"doors": "`http` alone", "proofs": "none", "answer": "empty", "sample": "none", "operations": "empty"}
    assert {name: default for name, default in told.items() if name not in needed} == said
    assert (bare.doors, bare.proofs) == (frozenset({"http"}), frozenset())
    assert not bare.answer
    assert not bare.operations
    assert bare.sample is None


def test_the_commands_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE))
    made, typed = re.findall(r"make ([a-z]+)", PAGE), re.findall(r"reelhook ([a-z]+) ", PAGE)
    assert made
    assert set(made) <= targets
    assert typed
    assert set(typed) <= set(COMMANDS)


def test_the_places_are_there() -> None:
    quoted = {path for path in re.findall(r"`((?:docs|handlers|tests)/[^`]*)`", PAGE) if "<" not in path}
    assert quoted >= {"tests/counterparts.py", "handlers/settings/kinds.py", "docs/configuration.md"}
    assert [path for path in sorted(quoted) if not (HOUSE / path).exists()] == []


def test_the_places_with_a_vendors_name_are_there_for_every_vendor() -> None:
    places = set(re.findall(r"`((?:docs|handlers|tests)/[^`]*<vendor>[^`]*)`", PAGE))
    assert len(places) == 5
    for name in VENDORS:
        assert [path for path in places if not (HOUSE / path.replace("<vendor>", name)).exists()] == []


def test_the_names_of_the_vocabulary_are_there() -> None:
    words = set(re.findall(r"`([A-Za-z_.]+)`", PAGE))
    fields = {field.name for field in dataclasses.fields(Event)}
    assert "at" in words & fields
    for module, names in {
        "errors": "RefusedDelivery BadToken BadSignature Uncheckable CannotVerify UnreadableDelivery",
        "fields": "read_fields Fields Id Text Time Seconds MaybeCount MaybeText MaybeTime Shown",
        "vendor": "Vendor Verified seen_key",
        "storage/locate": "locate",
        "events": "Event",
    }.items():
        tree = ast.parse((HOUSE / "handlers" / f"{module}.py").read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        defined |= {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}  # type: ignore[attr-defined] # plain names
        assert set(names.split()) <= words & defined


def test_the_first_word_of_an_accounts_line_is_its_required_secret() -> None:
    assert {kind.required for kind in ACCOUNTS.kinds.values()} == {("callback_secrets",), ("url_tokens",)}


# --- the vendor that is written in the page ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the house, and add the vendor to it as the page says."""
    house = tmp_path_factory.mktemp("house")
    left = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for folder in ("handlers", "webhook", "standin", "tests", "docs"):
        shutil.copytree(HOUSE / folder, house / folder, ignore=left)
    shutil.copy(HOUSE / "pyproject.toml", house)
    for path, text in BLOCKS.items():
        if path in ANCHORS:
            put(house / path, ANCHORS[path], ANCHORS[path] + text)
        elif path == "tests/counterparts.py":
            put(house / path, "\n\n_EVERY = (\n", f'\n\n{text}\n\n_EVERY = (\n    Example("example"),\n')
        else:
            (house / path).parent.mkdir(exist_ok=True)
            (house / path).write_text(text)
    put(house / "handlers/vendors/__init__.py", "import aliyun, ", "import aliyun, example, ")
    return house


def put(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} has a place for the vendor"
    path.write_text(text.replace(old, new))


def test_it_costs_one_folder_its_fixtures_its_page_a_counterpart_and_two_lines() -> None:
    own = [path for path in BLOCKS if "/example" in path]
    assert {path.rsplit("/", 1)[0] for path in own} == {
        "handlers/vendors/example",
        "tests/fixtures/example",
        "docs/vendors",
    }
    assert BLOCKS.keys() - set(own) == {*ANCHORS, "tests/counterparts.py"}
    assert [len(BLOCKS[path].splitlines()) for path in ANCHORS] == [1, 1]


def test_its_callback_is_taken_over_http_and_becomes_a_recording(house: Path, tmp_path: Path) -> None:
    config = tmp_path / "reelhook.toml"
    config.write_text('[accounts.school]\nvendor = "example"\ncallback_secrets = ["env:KEY"]\n')
    environ = {
        "REELHOOK_DATA": str(tmp_path / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "KEY": "a-key",
        "PYTHONPATH": str(house),
    }
    body = BLOCKS["tests/fixtures/example/FileReady.json"].encode()
    signature = hmac.new(b"a-key", body, hashlib.sha256).hexdigest()
    with running(environ, "serve", log=tmp_path / "log", within=("env", "-C", str(house))) as program:
        program.ready()
        url = f"{program.url}/callbacks/example/school"
        assert request("POST", url, body).status == 401
        answers = [request("POST", url, body, headers={"X-Example-Signature": signature}) for _ in range(2)]
        assert [(answer.status, answer.json()["status"]) for answer in answers] == [(200, "kept"), (200, "repeat")]
        bearer = {"Authorization": f"Bearer {API_TOKEN}"}

        def recordings() -> list[dict[str, str]]:
            return list(request("GET", f"{program.url}/api/v1/recordings", headers=bearer).json()["items"])

        wait_until(recordings, what="the recording")
        (item,) = recordings()
        told = json.loads(body)
        assert (item["vendor"], item["app_id"], item["room_id"]) == ("example", told["app"], told["room"])
        assert (item["bucket"], item["key"], item["state"]) == ("lessons", "t-1/a.mp4", "available")


def run_in(house: Path, *arguments: str) -> str:
    """Run a tool of the environment in the copy; it must succeed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=house,
        env=environ | {"PYTHONPATH": str(house)},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_keeps_every_promise_of_the_contract(house: Path) -> None:
    contract = ("pytest", "-q", "-p", "no:cacheprovider", "tests/test_vendors.py", "-k", "example or folder or any")
    said = run_in(house, *contract)
    assert int(re.search(r"(\d+) passed", said)[1]) > 50  # type: ignore[index] # else it fails here
    assert "failed" not in said


def test_it_is_clean(house: Path) -> None:
    files = [path for path in BLOCKS if path.endswith(".py")]
    said = run_in(house, "ruff", "check", "--no-cache", *files)
    assert "All checks passed" in said
    run_in(house, "ruff", "format", "--no-cache", "--check", *files)
