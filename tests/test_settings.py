"""Settings: everything configured is read once and checked whole; every mistake is told at once, no secret ever."""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handlers.errors import SettingsError
from handlers.settings import HttpDestination, Settings, callback_url, load
from handlers.settings.environment import VARIABLES
from handlers.settings.kinds import ACCOUNTS, SECTIONS, Section
from handlers.settings.tables import Match
from handlers.settings.values import read_database_url, read_duration, read_size, shown_database_url

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
MISTAKES = sorted((HERE / "settings").glob("*.toml"))
DOCS = (HERE.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
VENDORS = ("aliyun", "volcengine", "huawei")
HUSH = "hush-hush"
SECRETS = {"TOKEN": f"t-{HUSH}", "SECRET": f"s-{HUSH}", "AK": f"ak-{HUSH}", "SK": f"sk-{HUSH}", "EMPTY": ""}
LESSONS = '[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:TOKEN"]\n'
SERVER = "postgresql://reelhook:hush-hush@db.example.com:5432/reelhook"


def around(folder: Path) -> dict[str, str]:
    """Give the environment of a start that keeps everything in the folder."""
    return SECRETS | {"REELHOOK_CONFIG": str(folder / "reelhook.toml"), "REELHOOK_DATA": str(folder / "var")}


def read(folder: Path, toml: str = "", **environ: str) -> Settings:
    """Load settings that live in the folder, as a start does."""
    (folder / "reelhook.toml").write_text(toml)
    return load(around(folder) | environ, vendors=VENDORS)


def problems(folder: Path, toml: str = "", **environ: str) -> list[str]:
    """Tell what refuses the start."""
    with pytest.raises(SettingsError) as refused:
        read(folder, toml, **environ)
    return list(refused.value.problems)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda path: path.stem)
def test_every_mistake_is_told_with_its_place_and_what_was_expected(mistake: Path, tmp_path: Path) -> None:
    toml = mistake.read_text(encoding="utf-8")
    (tmp_path / "empty-token").write_text("\n")
    says = [line.removeprefix("# says: ") for line in toml.splitlines() if line.startswith("# says: ")]
    assert says, "the fixture begins with what it makes Reelhook say: # says: ..."
    told = [problem.replace(str(tmp_path), "FOLDER") for problem in problems(tmp_path, toml)]
    assert told == says
    assert not (tmp_path / "var").exists(), "a start that is refused writes nothing"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda path: path.stem)
def test_no_mistake_makes_a_message_quote_a_secret(mistake: Path, tmp_path: Path) -> None:
    assert HUSH not in "\n".join(problems(tmp_path, mistake.read_text(encoding="utf-8")))


def test_all_mistakes_of_environment_and_file_are_told_at_once(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        '[accounts.lessons]\nvendor = "aliyum"\n\n[storages.lessons]\nkind = "oss"\nbucket = "rtc-record"\n',
        PORT="eighty",
        REELHOOK_LOG="xml",
        REELHOOK_TYPO="1",
        DATABASE_URL="mysql://root:hush-hush@db/reelhook",
    )
    places = [problem.split(": ")[0] for problem in told]
    assert sorted(places) == ["DATABASE_URL", "PORT", "REELHOOK_LOG", "REELHOOK_TYPO", "reelhook.toml", "reelhook.toml"]


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PORT", "65536", '"65536" came; expected a whole number from 0 to 65535'),
        ("PORT", "-1", "expected a whole number"),
        ("PORT", "８０", "expected a whole number"),
        ("WEB_CONCURRENCY", "0", "expected a whole number from 1 to"),
        ("REELHOOK_MAX_BODY", "1MB", 'expected bytes ("1048576") or "512KiB" or "1MiB"'),
        ("REELHOOK_MAX_BODY", "65MiB", "at most 64MiB"),
        ("REELHOOK_MIGRATE", "nevr", "expected auto or never; did you mean never?"),
        ("REELHOOK_LOG", "JSON", "expected json or text"),
        ("REELHOOK_SPOL", "off", "did you mean REELHOOK_SPOOL?"),
        ("REELHOOK_PUBLIC_URL", "hooks.example.com", 'expected "https://host"'),
        ("REELHOOK_PUBLIC_URL", "https://hooks.example.com/?a=b", "expected an address without it"),
        ("REELHOOK_TRUSTED_PROXIES", "10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("REELHOOK_TRUSTED_PROXIES", "proxy.internal", "is no network"),
        ("REELHOOK_CONFIG", "/nowhere/reelhook.toml", "there is no file /nowhere/reelhook.toml"),
        ("REELHOOK_CONFIG", "/", "can't be read: Is a directory"),
        ("REELHOOK_API_TOKENS", "env:MISSING", "the environment variable MISSING is not set or empty"),
        ("REELHOOK_API_TOKENS", "two hush-hush words", "no Authorization header can carry"),
        ("REELHOOK_API_TOKENS", ",", "holds no token"),
        ("REELHOOK_DATA", "/data?", 'holds a "?"'),
        (
            "DATABASE_URL",
            "mysql://root:hush-hush@db/x",
            'has the scheme "mysql"; expected sqlite:///PATH or postgresql://',
        ),
        ("DATABASE_URL", "postgresql+psycopg2://root:hush-hush@db/x", "expected sqlite:///PATH or postgresql://"),
        ("DATABASE_URL", "reelhook.db", "has no scheme"),
        ("DATABASE_URL", "sqlite://", "expected sqlite:///PATH"),
        ("DATABASE_URL", "sqlite:///:memory:", "several processes can share"),
        ("DATABASE_URL", "sqlite:///x.db?mode=ro", 'holds a "?" part'),
        ("DATABASE_URL", "postgres://root:hush/hush-hush@db/x", "write it percent-encoded"),
        ("DATABASE_URL", "postgres://root:12?hush-hush@db/x", "write it percent-encoded"),
        ("DATABASE_URL", "postgres://root:12/hush-hush@db/x", "write it percent-encoded"),
        ("DATABASE_URL", "postgres://root:hush@hush-hush@db/x", "write it percent-encoded"),
        ("DATABASE_URL", "postgres://root:hush-hush@db#x", "write it percent-encoded"),
        ("DATABASE_URL", "postgres://root:hush-hush@db:port/x", "write it percent-encoded"),
        ("DATABASE_URL", "postgres://root:hush-hush@[db/x", "write it percent-encoded"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(variable: str, value: str, says: str, tmp_path: Path) -> None:
    told = [problem for problem in problems(tmp_path, LESSONS, **{variable: value}) if problem.startswith(variable)]
    assert len(told) == 1
    assert says in told[0]
    assert HUSH not in told[0]


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "reelhook.toml"
    path.write_bytes(b"# \xff\n")
    with pytest.raises(SettingsError, match=r"reelhook\.toml: byte 2 is not UTF-8"):
        load({"REELHOOK_CONFIG": str(path)}, vendors=VENDORS, create=False)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "reelhook.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LESSONS.replace("\n", "\r\n").encode())
    settings = load(SECRETS | {"REELHOOK_CONFIG": str(path)}, vendors=VENDORS, create=False)
    assert settings.account("aliyun", "lessons")


# --- what is read -----------------------------------------------------------------------------------------------------


def test_nothing_configured_gives_the_documented_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load({}, vendors=VENDORS)
    assert settings.database_url == f"sqlite:///{tmp_path}/var/reelhook.db"
    assert (settings.data, settings.spool) == (tmp_path / "var", tmp_path / "var" / "spool.db")
    assert (settings.config, settings.rules) == (tmp_path / "reelhook.toml", tmp_path / "rules.yaml")
    assert (settings.public_url, settings.port) == ("http://127.0.0.1:8000", 8000)
    assert (settings.web_concurrency, settings.trusted_proxies, settings.max_body) == (1, (), 1024 * 1024)
    assert (settings.migrate, settings.log) == ("auto", "json")
    assert not settings.on_server


def test_empty_variables_count_as_unset_and_those_of_tests_are_left_alone(tmp_path: Path) -> None:
    empty = dict.fromkeys(VARIABLES, "") | {"REELHOOK_TEST_POSTGRES": "postgresql://localhost"}
    settings = load(empty | {"REELHOOK_DATA": str(tmp_path)}, vendors=VENDORS, create=False)
    assert settings.port == 8000


def test_every_variable_is_read(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").touch()
    settings = read(
        tmp_path,
        LESSONS,
        DATABASE_URL=f"sqlite:///{tmp_path}/elsewhere.db",
        PORT="0",
        WEB_CONCURRENCY="3",
        REELHOOK_SPOOL="off",
        REELHOOK_API_TOKENS="one, env:TOKEN,",
        REELHOOK_RULES=str(tmp_path / "rules.yaml"),
        REELHOOK_PUBLIC_URL="https://hooks.example.com/reel/",
        REELHOOK_TRUSTED_PROXIES="10.0.0.0/8, ::1",
        REELHOOK_MAX_BODY="512KiB",
        REELHOOK_MIGRATE="never",
        REELHOOK_LOG="text",
    )
    assert settings.database_url == f"sqlite:///{tmp_path}/elsewhere.db"
    assert (settings.port, settings.web_concurrency, settings.spool) == (0, 3, None)
    assert [token.reveal() for token in settings.api_tokens] == ["one", f"t-{HUSH}"]
    assert (settings.rules, settings.rules_named) == (tmp_path / "rules.yaml", True)
    assert settings.public_url == "https://hooks.example.com/reel"
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert (settings.max_body, settings.migrate, settings.log) == (524_288, "never", "text")
    assert read(tmp_path, LESSONS, REELHOOK_TRUSTED_PROXIES="*").trusted_proxies == "*"


def test_every_key_of_the_documented_file_is_read(tmp_path: Path) -> None:
    toml = re.search(r"```toml\n(.*?)```", DOCS, re.DOTALL)
    assert toml
    environ = {name: f"{name}-{HUSH}" for name in re.findall(r"env:([A-Z_]+)", toml[1])}
    settings = read(tmp_path, toml[1], **environ)
    assert list(settings.accounts) == [("aliyun", "lessons"), ("volcengine", "classroom"), ("huawei", "clinic")]
    classroom = settings.accounts["volcengine", "classroom"]
    assert [secret.reveal() for secret in classroom.callback_secrets] == [
        f"VOLC_SECRET-{HUSH}",
        f"VOLC_SECRET_OLD-{HUSH}",
    ]
    assert (classroom.max_age, classroom.quota, dict(classroom.limits)) == (
        600_000,
        "volc-main",
        {"update_segment": 100},
    )
    assert settings.accounts["huawei", "clinic"].max_skew == 900_000
    assert settings.accounts["aliyun", "lessons"].app_ids == ("9q1x",)
    queue = settings.queues["lessons"]
    assert (queue.kind, queue.account, queue.wait_seconds, queue.threads, queue.max_receives) == (
        "mns",
        "lessons",
        20,
        1,
        20,
    )
    captioning = settings.destinations["captioning"]
    assert isinstance(captioning, HttpDestination)
    assert captioning.allow_private == (ip_network("10.0.0.0/8"),)
    assert (captioning.timeout, captioning.ordered, captioning.rate) == (15_000, False, 50)
    assert captioning.retries == (5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000)
    assert settings.storages["lessons"].match == Match(account="lessons")


DESTINATION_OF_EVERY_KIND = """
[destinations.a]
kind = "http"
url = "https://example.com/hook?key=1"
retries = []
[destinations.b]
kind = "sqs"
url = "https://sqs.eu-west-1.amazonaws.com/1/work"
region = "eu-west-1"
[destinations.c]
kind = "sns"
topic = "arn:aws:sns:eu-west-1:123456789012:changes"
region = "eu-west-1"
[destinations.d]
kind = "mns-queue"
queue = "changes"
endpoint = "http://127.0.0.1:9000/"
access_key_id = "env:AK"
secret_access_key = "env:SK"
[destinations.e]
kind = "mns-topic"
topic = "changes"
endpoint = "https://1.mns.cn-shanghai.aliyuncs.com"
access_key_id = "env:AK"
secret_access_key = "env:SK"
[destinations.f]
kind = "s3"
bucket = "archive"
prefix = "lessons/"
region = "eu-west-1"
"""


def test_a_destination_of_every_kind_is_read(tmp_path: Path) -> None:
    destinations = read(tmp_path, DESTINATION_OF_EVERY_KIND).destinations
    kinds = [destination.kind for destination in destinations.values()]
    assert kinds == ["http", "sqs", "sns", "mns-queue", "mns-topic", "s3"]
    assert destinations["a"].retries == ()
    assert destinations["d"].endpoint == "http://127.0.0.1:9000"


def test_storages_keep_the_order_of_the_file(tmp_path: Path) -> None:
    names = ["zulu", "alpha", "mike"]
    toml = "".join(
        f'[storages.{name}]\nkind = "s3"\nregion = "eu-west-1"\nbucket = "b-{name}"\nmatch = {{ type = "record" }}\n'
        for name in names
    )
    assert list(read(tmp_path, toml).storages) == names


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('bucket = "bbb"\nmatch = { type = "record" }', 'bucket = "bbb"'),
        ('bucket = "bbb"\nmatch = { type = "record" }', 'bucket = "bbb"\nmatch = { type = "push" }'),
        ('bucket = "bbb"\nmatch = { app_id = "9q1x" }', 'bucket = "bbb"\nmatch = { type = "record" }'),
        ('bucket = "bbb"\nmatch = { task_prefix = "talk-" }', 'bucket = "bbb"\nmatch = { task_prefix = "t" }'),
        ('bucket = "bbb"', 'bucket = "ccc"'),
    ],
)
def test_storages_that_do_not_hide_one_another_are_taken(tmp_path: Path, first: str, second: str) -> None:
    common = 'kind = "oss"\nregion = "cn-shanghai"\n'
    toml = f"[storages.first]\n{common}{first}\n[storages.second]\n{common}{second}\n"
    assert list(read(tmp_path, toml).storages) == ["first", "second"]


def test_settings_and_accounts_are_frozen(tmp_path: Path) -> None:
    settings = read(tmp_path, LESSONS)
    account = settings.accounts["aliyun", "lessons"]
    with pytest.raises(AttributeError):
        settings.port = 1  # type: ignore[misc] # that is the test
    with pytest.raises(ValueError, match="frozen"):
        account.vendor = "huawei"
    with pytest.raises(TypeError):
        account.limits["x"] = 1  # type: ignore[index] # that is the test


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("500ms", 500), ("15s", 15_000), ("10m", 600_000), ("6h", 21_600_000), ("2d", 172_800_000)],
)
def test_durations_are_read_as_milliseconds(text: str, milliseconds: int) -> None:
    assert read_duration(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "size"), [("1048576", 1_048_576), ("1MiB", 1_048_576), ("2 KiB", 2048), ("64MiB", 2**26)]
)
def test_sizes_are_read_as_bytes(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_means_psycopg(scheme: str) -> None:
    url = read_database_url(f"{scheme}://me:p%40ss@db.example.com:5433/reelhook?sslmode=require")
    assert url == "postgresql+psycopg://me:p%40ss@db.example.com:5433/reelhook?sslmode=require"


def test_a_relative_sqlite_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_database_url("sqlite:///data/x.db") == f"sqlite:///{tmp_path}/data/x.db"
    assert read_database_url("sqlite:////srv/x.db") == "sqlite:////srv/x.db"


# --- secrets are not shown --------------------------------------------------------------------------------------------


def test_no_representation_of_settings_shows_a_secret(tmp_path: Path) -> None:
    toml = f'{LESSONS}access_key_id = "env:AK"\nsecret_access_key = "env:SK"\n'
    toml += f'[destinations.captioning]\nkind = "http"\nurl = "https://example.com/{HUSH}"\nsecret = "env:SECRET"\n'
    settings = read(tmp_path, toml, DATABASE_URL=SERVER, REELHOOK_API_TOKENS=f"a-{HUSH}")
    shown = f"{settings!r} {settings} {settings.accounts} {settings.api_tokens} {settings.shown_database_url}"
    assert HUSH not in shown
    assert "Secret(env:TOKEN)" in shown
    assert settings.shown_database_url == "postgresql+psycopg://reelhook:***@db.example.com:5432/reelhook"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:pw@h", "postgresql+psycopg://me:***@h"),
        ("postgresql+psycopg://me@h/db", "postgresql+psycopg://me@h/db"),
        ("postgresql+psycopg:///db?host=/run&password=pw", "postgresql+psycopg:///db"),
        ("sqlite:////srv/x.db", "sqlite:////srv/x.db"),
    ],
)
def test_a_shown_database_has_no_password(url: str, shown: str) -> None:
    assert shown_database_url(url) == shown


# --- accounts and tokens that we make ourselves -----------------------------------------------------------------------


def test_the_first_start_makes_secrets_and_later_starts_use_them(tmp_path: Path) -> None:
    first, second = read(tmp_path), read(tmp_path)
    assert (first.generated, second.generated) == (True, False)
    assert list(first.accounts) == [(vendor, "default") for vendor in VENDORS]
    urls = [callback_url(settings, settings.accounts["aliyun", "default"]) for settings in (first, second)]
    assert urls[0] == urls[1]
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/callbacks/aliyun/default\?token=[\w-]{43}", urls[0])
    assert first.api_tokens[0].reveal() == second.api_tokens[0].reveal()
    auth_key = first.accounts["huawei", "default"].callback_secrets[0].reveal()
    assert 32 <= len(auth_key) <= 64


def test_nothing_is_written_where_nothing_may_be_created(tmp_path: Path) -> None:
    (tmp_path / "reelhook.toml").touch()
    settings = load(around(tmp_path), vendors=VENDORS, create=False)
    assert not (tmp_path / "var").exists()
    assert (settings.api_tokens, settings.generated) == ((), False)
    assert settings.accounts["aliyun", "default"].url_tokens == ()
    assert settings.accounts["volcengine", "default"].callback_secrets == ()
    made = read(tmp_path)
    again = load(around(tmp_path), vendors=VENDORS, create=False)
    assert again.api_tokens[0].reveal() == made.api_tokens[0].reveal()


def test_default_accounts_vanish_once_an_account_is_configured_and_the_api_token_stays(tmp_path: Path) -> None:
    before, after = read(tmp_path), read(tmp_path, LESSONS)
    assert list(after.accounts) == [("aliyun", "lessons")]
    assert after.account("aliyun", "default") is None
    assert after.api_tokens[0].reveal() == before.api_tokens[0].reveal()
    configured = read(tmp_path, LESSONS, REELHOOK_API_TOKENS="mine")
    assert [token.reveal() for token in configured.api_tokens] == ["mine"]


def test_with_an_account_configured_only_the_api_token_is_made(tmp_path: Path) -> None:
    assert read(tmp_path, LESSONS).generated
    assert "aliyun" not in (tmp_path / "var" / "secrets.json").read_text()


def test_the_data_folder_is_made_even_where_no_secret_is_needed(tmp_path: Path) -> None:
    settings = read(tmp_path, LESSONS, REELHOOK_API_TOKENS="mine")
    assert settings.data.is_dir()
    assert settings.data.stat().st_mode & 0o777 == 0o700
    assert not list(settings.data.iterdir())


def test_a_database_server_without_tokens_and_accounts_is_refused_naming_what_to_set(tmp_path: Path) -> None:
    told = problems(tmp_path, DATABASE_URL=SERVER)
    assert [problem.split(": ")[0] for problem in told] == ["REELHOOK_API_TOKENS", "reelhook.toml"]
    assert all("several machines would each make their own" in problem for problem in told)
    assert not (tmp_path / "var").exists()


def test_a_database_server_with_tokens_and_accounts_starts_and_makes_no_secrets(tmp_path: Path) -> None:
    settings = read(tmp_path, LESSONS, DATABASE_URL=SERVER, REELHOOK_API_TOKENS="mine")
    assert settings.on_server
    assert settings.web_concurrency == max(1, min(os.cpu_count() or 1, 8))
    assert not (settings.data / "secrets.json").exists()


def test_a_server_with_everything_elsewhere_needs_no_data_folder(tmp_path: Path) -> None:
    settings = read(tmp_path, LESSONS, DATABASE_URL=SERVER, REELHOOK_API_TOKENS="mine", REELHOOK_SPOOL="off")
    assert not settings.data.exists()


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert (
        f"can't be made: File exists: {tmp_path}/file"
        in problems(tmp_path, REELHOOK_DATA=str(tmp_path / "file" / "var"))[0]
    )
    assert "is a file; expected a folder" in problems(tmp_path, REELHOOK_DATA=str(tmp_path / "file"))[0]


def test_callback_urls_carry_the_first_token_quoted_and_none_where_the_vendor_signs(tmp_path: Path) -> None:
    toml = '[accounts.lessons]\nvendor = "aliyun"\nurl_tokens = ["env:ODD", "env:TOKEN"]\n'
    toml += '[accounts.clinic]\nvendor = "huawei"\ncallback_secrets = ["env:SECRET"]\n'
    settings = read(tmp_path, toml, ODD="a b/&ü", REELHOOK_PUBLIC_URL="https://x.example/reel/")
    urls = [callback_url(settings, account) for account in settings.accounts.values()]
    assert urls == [
        "https://x.example/reel/callbacks/aliyun/lessons?token=a%20b%2F%26%C3%BC",
        "https://x.example/reel/callbacks/huawei/clinic",
    ]


def test_several_secrets_stand_in_a_list_for_rotation(tmp_path: Path) -> None:
    settings = read(tmp_path, LESSONS.replace('"env:TOKEN"', '"env:TOKEN", "env:SECRET"'))
    tokens = settings.accounts["aliyun", "lessons"].url_tokens
    assert [token.reveal() for token in tokens] == [f"t-{HUSH}", f"s-{HUSH}"]


def test_secret_files_are_found_beside_the_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    account = read(tmp_path, LESSONS.replace("env:TOKEN", "file:token")).accounts["aliyun", "lessons"]
    assert account.url_tokens[0].reveal() == "from-file"
    assert repr(account.url_tokens) == "(Secret(file:token),)"


# --- documentation ----------------------------------------------------------------------------------------------------


def rows(chapter: str) -> Iterator[list[str]]:
    """Give the cells of each row of a chapter's tables."""
    text = re.search(rf"^## {chapter}\n(.*?)(?=^## )", DOCS, re.DOTALL | re.MULTILINE)
    assert text, f"docs/configuration.md has a chapter {chapter}"
    for line in text[1].splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def documented(section: Section, kind: str) -> set[str]:
    """Give the keys that the documentation has for a kind."""
    keys = set()
    for cells in rows(section.name.capitalize()):
        if len(cells) < 5:
            continue
        of = cells[1]
        excluded = of.removeprefix("all but ").split(", ") if of.startswith("all but ") else []
        if (of.startswith("all") or kind in of.split(", ")) and kind not in excluded:
            keys.add(cells[0].strip("`"))
    return keys


@pytest.mark.parametrize(
    ("section", "kind"),
    [(section, kind) for section in SECTIONS for kind in section.kinds],
    ids=lambda value: value.name if isinstance(value, Section) else value,
)
def test_every_key_of_every_kind_is_documented_and_no_other(section: Section, kind: str) -> None:
    assert documented(section, kind) == section.kinds[kind].keys


def test_every_variable_is_documented_and_no_other() -> None:
    assert {cells[0].strip("`") for cells in rows("Environment variables")} == set(VARIABLES)


def test_every_kind_operation_and_match_is_documented() -> None:
    words = {kind for section in SECTIONS for kind in section.kinds}
    words |= {operation for vendor in ACCOUNTS.kinds.values() for operation in vendor.operations}
    words |= set(Match.model_fields)
    assert [word for word in sorted(words) if f"`{word}`" not in DOCS] == []
