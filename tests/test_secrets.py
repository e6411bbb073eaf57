"""Secrets: where a value comes from, that it is never shown, and that all who start at once agree on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from handlers.errors import SettingsError
from handlers.secrets import Secret, generated_secrets

HUSH = "hush-hush"


def file_secret(path: Path) -> Secret:
    return Secret.refer(f"file:{path.name}", environ={}, folder=path.parent)


def test_a_secret_shows_its_reference_and_never_its_value() -> None:
    secret = Secret.refer("env:LESSONS_TOKEN", environ={"LESSONS_TOKEN": HUSH}, folder=Path())
    shown = f"{secret!r} {secret} {[secret]}"
    assert shown == "Secret(env:LESSONS_TOKEN) Secret(env:LESSONS_TOKEN) [Secret(env:LESSONS_TOKEN)]"
    assert secret.reveal() == HUSH


def test_secrets_are_equal_by_reference(tmp_path: Path) -> None:
    one, two = (Secret.refer("env:A", environ={"A": value}, folder=tmp_path) for value in ("1", "2"))
    other = Secret.refer("env:B", environ={"B": "1"}, folder=tmp_path)
    assert one == two
    assert len({one, two, other}) == 2


def test_a_secret_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Secret.literal(HUSH).reference = "env:OTHER"  # type: ignore[misc] # that is the test


@pytest.mark.parametrize(
    ("raw", "value"), [(b"hush\n", "hush"), (b"hush\r\n", "hush"), (b" hush ", " hush "), (b"h\xc3\xbcsh", "hüsh")]
)
def test_a_secret_file_gives_its_text_without_the_line_break(raw: bytes, value: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(raw)
    assert file_secret(tmp_path / "token").reveal() == value


def test_a_secret_file_is_read_again_when_it_is_written_anew_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    secret = file_secret(path)
    path.write_text("two")  # as long as before, and perhaps within the same tick of the clock
    assert secret.reveal() == "two"
    (tmp_path / "new").write_text("three")
    (tmp_path / "new").replace(path)
    assert secret.reveal() == "three"


def test_an_old_secret_file_is_noticed_by_time_size_or_inode_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    os.utime(path, ns=(10**18, 10**18))
    secret = file_secret(path)
    path.write_text("three")
    os.utime(path, ns=(10**18, 10**18))
    assert secret.reveal() == "three"
    (tmp_path / "new").write_text("seven")
    os.utime(tmp_path / "new", ns=(10**18, 10**18))
    (tmp_path / "new").replace(path)
    assert secret.reveal() == "seven"
    path.write_text("eight")
    os.utime(path, ns=(10**18 + 1, 10**18 + 1))
    assert secret.reveal() == "eight"


def test_a_secret_file_that_is_away_or_empty_for_a_while_keeps_its_last_value(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    secret = file_secret(path)
    path.unlink()
    assert secret.reveal() == "one"
    path.write_text("")
    assert secret.reveal() == "one"
    path.write_text("two")
    assert secret.reveal() == "two"


@pytest.mark.parametrize(
    ("raw", "says"),
    [(b"\xff" + HUSH.encode(), "is not UTF-8 text"), (b"\n", "is empty"), (b"x" * 65_537, "is larger than")],
)
def test_a_secret_file_that_holds_no_secret_is_refused_without_quoting_it(
    raw: bytes, says: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_bytes(raw)
    with pytest.raises(SettingsError, match=says) as refused:
        file_secret(tmp_path / "token")
    assert HUSH not in str(refused.value)


def test_generated_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "var"
    old = os.umask(0)
    try:
        made = generated_secrets(data, ["aliyun"], create=True)
    finally:
        os.umask(old)
    assert made.made_now
    modes = {path.name: path.stat().st_mode & 0o777 for path in (data, *data.iterdir())}
    assert modes == {"var": 0o700, "secrets.json": 0o600, "secrets.lock": 0o600}


def test_a_restored_secrets_file_that_others_can_read_is_hidden_again(tmp_path: Path) -> None:
    generated_secrets(tmp_path, ["aliyun"], create=True)
    (tmp_path / "secrets.json").chmod(0o644)
    assert not generated_secrets(tmp_path, ["aliyun"], create=True).made_now
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_vendor_that_comes_later_gets_its_secret_and_the_others_keep_theirs(tmp_path: Path) -> None:
    first = generated_secrets(tmp_path, ["aliyun"], create=True)
    second = generated_secrets(tmp_path, ["aliyun", "huawei"], create=True)
    assert second.made_now
    assert second.values["aliyun"].reveal() == first.values["aliyun"].reveal()
    assert second.values["huawei"].reveal() != first.values["aliyun"].reveal()
    assert HUSH not in repr(second)
    assert repr(second.values["huawei"]) == "Secret(secrets.json:huawei)"


def test_what_a_crashed_starter_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "secrets.json.new").write_text('{"ali')
    assert generated_secrets(tmp_path, ["aliyun"], create=True).made_now
    assert not (tmp_path / "secrets.json.new").exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"aliyun": 1}', '{"aliyun": ""}', "[" * 100_000, "\xff"])
def test_a_damaged_secrets_file_is_refused_and_left_as_it_is(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_bytes(damage.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"secrets\.json is damaged; .* delete it"):
        generated_secrets(tmp_path, ["aliyun"], create=True)
    assert path.read_bytes() == damage.encode("latin-1")


STARTER = """
import json, sys
from pathlib import Path
from handlers.secrets import generated_secrets
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    made = generated_secrets(Path(sys.argv[1]) / str(number), ["api_token", "aliyun"], create=True)
    print(json.dumps([made.made_now, {name: secret.reveal() for name, secret in made.values.items()}]), flush=True)
"""


def test_processes_that_start_at_once_agree_on_one_file_and_one_of_them_made_it(tmp_path: Path) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for starter in starters:
        assert starter.stdout
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin
        starter.stdin.write("\n")
        starter.stdin.flush()
    answers = [[json.loads(line) for line in starter.communicate()[0].splitlines()] for starter in starters]
    assert [starter.returncode for starter in starters] == [0, 0, 0, 0]
    for one_start in zip(*answers, strict=True):
        assert [made_now for made_now, _ in one_start].count(True) == 1
        assert all(values == one_start[0][1] for _, values in one_start)
