"""The shape of the house: every arrow is guarded by a contract that turns red, and the written rules hold."""

from __future__ import annotations

import ast
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("webhook", "handlers")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS: dict[str, dict[str, Any]] = {
    contract["id"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
}

#: vendors made up for a violation; rooms that are missing get built in the copy
VENDOR, OTHER_VENDOR = "handlers.vendors.planted", "handlers.vendors.neighbour"

_WEB = ("flask", "flask_openapi3", "gunicorn", "werkzeug")
_SQL = ("alembic", "psycopg", "sqlalchemy", "sqlite3")
_TESTS = ("bench", "conftest", "hypothesis", "pytest", "schemathesis", "tests")

#: contract -> pairs of (importing module, imported module), each of which must turn it red. They stand here and are not
#: read from the contracts, so that a contract can't lose a module unseen; `layers` gets more from its own rows.
VIOLATIONS = {
    "layers": [
        ("handlers.inbox", "handlers.worker"),
        ("handlers.catalogue", "handlers.inbox"),
        ("handlers.rules", "handlers.inbox"),
        ("handlers.actions", "handlers.inbox"),
        ("handlers.vendors", "handlers.catalogue"),
        ("handlers.destinations", "handlers.actions"),
        ("handlers.storage", "handlers.catalogue"),
        ("handlers.database", "handlers.catalogue"),
        ("handlers.vendor", "handlers.vendors"),
        ("handlers.settings", "handlers.vendor"),
        ("handlers.events", "handlers.settings"),
        ("handlers.errors", "handlers.events"),
    ],
    "handlers-webhook": [("handlers.events", "webhook"), ("handlers.worker", "webhook.app")],
    "handlers-flask": [("handlers.events", name) for name in _WEB],
    "webhook-sql": [("webhook.planted", name) for name in _SQL],
    "webhook-vendors": [("webhook.planted", VENDOR), ("webhook.planted", f"{VENDOR}.callbacks")],
    "vendors-frameworks": [(VENDOR, name) for name in _WEB + _SQL],
    "vendors-strangers": [(VENDOR, OTHER_VENDOR), (f"{VENDOR}.callbacks", f"{OTHER_VENDOR}.callbacks")],
    "standin": [("webhook.planted", "standin"), ("handlers.events", "standin")],
    "bench-tests": [(f"{package}.planted", name) for package in PACKAGES for name in _TESTS],
}


def layers() -> list[tuple[list[str], bool]]:
    """Return the rows of `handlers` from the top: their modules, and whether these are strangers to each other."""
    return [
        ([f"handlers.{name.strip(' ()')}" for name in re.split(r"[|:]", row)], "|" in row)
        for row in CONTRACTS["layers"]["layers"]
    ]


def forbidden_arrows() -> Iterator[tuple[str, str]]:
    """Yield (importer, imported): each row's modules import the row above, and strangers import each other."""
    rows = layers()
    for (above, _), (below, _) in itertools.pairwise(rows):
        yield from ((importer, above[0]) for importer in below)
        yield from ((below[0], imported) for imported in above[1:])
    for modules, strangers in rows:
        if strangers:
            yield from ((importer, imported) for importer in modules for imported in modules if importer != imported)


def violations() -> Iterator[Any]:
    """Yield one parameter per contract and planted import; a contract without a violation yields one that fails."""
    for contract in CONTRACTS:
        pairs = VIOLATIONS.get(contract, [("", "")])
        if contract == "layers":
            pairs = sorted({*pairs, *forbidden_arrows()})
        yield from (pytest.param(contract, *pair, id=f"{contract}: {pair[0]} -> {pair[1]}") for pair in pairs)


def build_room(house: Path, module: str) -> Path:
    """Return the module's file within the house, made with the packages around it where it is missing."""
    *parents, _ = module.split(".")
    folder = house
    for parent in parents:
        folder /= parent
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
    path = house.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    file.touch()
    return file


def lint_imports(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the import linter over the packages of the house, not over those of the environment."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache", *arguments],
        cwd=house,
        env={"PYTHONPATH": str(house), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Copy the packages and their contracts to where a violation does no harm."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "static"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def sources(*folders: str) -> list[Path]:
    """Return the Python files under the folders, each of them relative to the root."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_the_house_as_it_stands_breaks_no_contract(house: Path) -> None:
    report = lint_imports(house)
    assert report.returncode == 0, report.stdout + report.stderr
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in report.stdout


@pytest.mark.parametrize(("contract", "importer", "imported"), list(violations()))
def test_a_planted_import_turns_its_contract_red(house: Path, contract: str, importer: str, imported: str) -> None:
    assert importer, f"the contract {contract!r} has no violation in VIOLATIONS: add one, or it may check nothing"
    if imported.startswith(("handlers.", "webhook.")):
        build_room(house, imported)
    with build_room(house, importer).open("a", encoding="utf-8") as source:
        source.write(f"\nimport {imported}\n")
    report = lint_imports(house, "--contract", contract)
    assert report.returncode == 1, report.stdout + report.stderr
    assert f"{CONTRACTS[contract]['name']} BROKEN" in report.stdout
    assert f"{importer} -> {imported} (l." in report.stdout, "the contract is red for another reason"


def test_a_module_without_a_place_in_the_layers_turns_them_red(house: Path) -> None:
    build_room(house, "handlers.planted")
    report = lint_imports(house, "--contract", "layers")
    assert report.returncode == 1, report.stdout + report.stderr
    assert "handlers.planted" in report.stdout


def test_the_command_line_may_know_the_stand_ins(house: Path) -> None:
    with build_room(house, "webhook.commands.standing_in").open("a", encoding="utf-8") as source:
        source.write("\nimport standin.cli\n")
    report = lint_imports(house, "--contract", "standin")
    assert report.returncode == 0, report.stdout + report.stderr


def test_every_contract_has_its_own_id_and_name() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    assert len(CONTRACTS) == len({contract["name"] for contract in contracts}) == len(contracts)
    assert VIOLATIONS.keys() == CONTRACTS.keys()


def test_every_forbidden_module_has_a_planted_import() -> None:
    for name, contract in CONTRACTS.items():
        planted = {imported for _, imported in VIOLATIONS[name]}
        forbidden = {module for module in contract.get("forbidden_modules", ()) if not module.endswith(".*")}
        assert forbidden <= planted, name


def test_no_vendor_is_named_in_webhook() -> None:
    folders = {path.parent.name for path in (ROOT / "handlers" / "vendors").glob("*/__init__.py")}
    vendor = re.compile("|".join(folders | {"aliyun", "alibaba", "huawei", "volcengine", "bytedance"}), re.IGNORECASE)
    written = [
        path
        for path in sorted((ROOT / "webhook").rglob("*"))
        if path.suffix in {".py", ".html", ".j2", ".jinja", ".css", ".js"} and "vendor" not in path.parent.parts
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in written
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if vendor.search(line)
    ]
    assert written
    assert not found


def test_no_sqlalchemy_is_named_in_webhook() -> None:
    named = [str(path) for path in sources("webhook") if "sqlalchemy" in (ROOT / path).read_text(encoding="utf-8")]
    assert not named


def test_no_module_is_longer_than_500_lines() -> None:
    lengths = {
        str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines())
        for path in sources(*PACKAGES, "standin", "bench", "tests")
    }
    assert not {path: length for path, length in lengths.items() if length > 500}


def test_no_function_is_longer_than_60_lines() -> None:
    found = []
    for path in sources(*PACKAGES, "standin", "bench"):
        if "versions" in path.parts:  # a migration lists tables, one after the other
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                length = node.end_lineno - node.lineno + 1
                found += [f"{path}:{node.lineno} {node.name}: {length} lines"] if length > 60 else []
    assert not found


def test_no_module_is_named_after_nothing() -> None:
    empty = {"utils", "util", "helpers", "common", "base", "manager", "core", "misc"}
    assert not [
        str(path) for path in sources(*PACKAGES, "standin", "bench", "tests") if empty & {*path.parts, path.stem}
    ]


def test_every_module_says_what_it_decides() -> None:
    silent = [
        str(path)
        for path in sources(*PACKAGES, "standin", "bench", "tests")
        if ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) is None
    ]
    assert not silent


def test_every_rule_that_is_switched_off_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lint = PYPROJECT["tool"]["ruff"]["lint"]
    codes = [*lint["ignore"], *(code for rules in lint["per-file-ignores"].values() for code in rules)]
    lines = re.findall(r'^ +"([A-Z]+[0-9]*)", +# \S.*$', text, re.MULTILINE)
    assert sorted(lines) == sorted(codes)


def test_every_exception_in_the_source_says_why() -> None:
    bare = re.compile(r"# (?:noqa(?!: [A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)* +\S)|type: ignore(?!\[[a-z, -]+\] +# \S))")
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in sources(*PACKAGES, "standin", "bench", "tests")
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), start=1)
        if bare.search(line) and path.name != Path(__file__).name
    ]
    assert not found


def locked(name: str) -> dict[str, str]:
    """Return the pins of a locked file, each as name==version with its marker, and the lines that belong to it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+==[^\\\n]+?) *\\?\n((?: +.*\n?)*)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-uv.txt"])
def test_a_locked_file_holds_hashes_and_no_address(name: str) -> None:
    pins = locked(name)
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(pins) == text.count("==") - len(re.findall(r";.*==", text)) > 0
    assert not [pin for pin, lines in pins.items() if "--hash=sha256:" not in lines]
    assert not re.search(r"://|--(?:extra-)?index|--find-links|--trusted|@ ", text)


def test_what_runs_is_what_is_tested() -> None:
    assert locked("requirements.txt").keys() < locked("requirements-dev.txt").keys()


def test_every_dependency_is_locked() -> None:
    names = {pin.partition("==")[0] for pin in locked("requirements.txt")}
    asked = {re.split(r"[\[<>=]", wanted)[0] for wanted in PYPROJECT["project"]["dependencies"]}
    assert asked <= names
