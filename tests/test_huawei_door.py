"""Huawei's callbacks through a running Reelhook, and the accounts that take them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import API_TOKEN
from huawei_callbacks import KEY, OLD_KEY, headers_of
from program import Program, request, running, wait_until
from terminal import told, typed

from handlers.clock import now_ms
from handlers.settings import callback_url, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SAMPLE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "fixtures" / "huawei" / "RECORD_FILE_COMPLETE.json").read_bytes()
)


def test_an_account_may_have_a_token_a_signing_key_or_both(tmp_path: Path) -> None:
    path = tmp_path / "reelhook.toml"
    environ = {"REELHOOK_CONFIG": str(path), "REELHOOK_DATA": str(tmp_path), "K": KEY, "T": "a token"}
    address = "http://127.0.0.1:8000/callbacks/huawei/clinic"
    for keys, url in (
        ('callback_secrets = ["env:K"]', address),
        ('url_tokens = ["env:T"]', f"{address}?token=a%20token"),
        ('callback_secrets = ["env:K"]\nurl_tokens = ["env:T"]', f"{address}?token=a%20token"),
    ):
        path.write_text(f'[accounts.clinic]\nvendor = "huawei"\n{keys}\n')
        settings = load(environ, vendors=("huawei",))
        assert callback_url(settings, settings.accounts["huawei", "clinic"]) == url


CONFIGURATION = """
[accounts.clinic]
vendor = "huawei"
callback_secrets = ["env:NEW", "env:OLD"]
max_skew = "15m"
[accounts.unsigned]
vendor = "huawei"
url_tokens = ["env:TOKEN"]
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("huawei")
    config = folder / "reelhook.toml"
    config.write_text(CONFIGURATION)
    environ = {
        "REELHOOK_DATA": str(folder / "data"),
        "REELHOOK_CONFIG": str(config),
        "REELHOOK_API_TOKENS": API_TOKEN,
        "NEW": KEY,
        "OLD": OLD_KEY,
        "TOKEN": "a-token-for-the-unsigned-0123456789",
    }
    with running(environ, "serve", log=folder / "log") as started:
        started.ready()
        yield started
        assert "Traceback" not in started.log.read_text()


def post(program: Program, body: bytes, headers: Mapping[str, str], account: str = "clinic") -> tuple[int, Any]:
    answer = request("POST", f"{program.url}/callbacks/huawei/{account}", body, headers=headers)
    return answer.status, answer.json()


def api(program: Program, path: str) -> list[Any]:
    answer = request("GET", f"{program.url}/api/v1/{path}", headers={"Authorization": f"Bearer {API_TOKEN}"})
    assert answer.status == 200, answer.body
    return list(answer.json()["items"])


def a_job(name: str, **changed: Any) -> bytes:
    return json.dumps(SAMPLE | {"job_id": name, "obs_object": f"{name}.m3u8"} | changed).encode()


def test_a_signed_callback_is_kept_once_and_becomes_a_recording(program: Program) -> None:
    body = a_job("a-job")
    headers = headers_of("rand", str(now_ms()), body)
    status, answer = post(program, body, headers)
    assert (status, answer["result"], answer["status"]) == (200, "success", "kept")
    assert post(program, body, headers)[1]["status"] == "repeat"
    wait_until(lambda: api(program, "recordings?task_id=a-job"), what="the recording")
    (item,) = api(program, "recordings?task_id=a-job")
    assert (item["state"], item["key"], item["format"]) == ("available", "a-job.m3u8", "m3u8")


def test_each_start_of_a_file_is_kept_though_its_bytes_repeat(program: Program) -> None:
    body = json.dumps({"event_type": "RECORD_NEW_FILE_START", "app_id": "a", "room_id": "r", "job_id": "j"}).encode()
    first, second = (headers_of("rand", str(now_ms() - ago), body) for ago in (2000, 1000))
    assert [post(program, body, headers)[1]["status"] for headers in (first, second)] == ["kept", "kept"]
    assert [post(program, body, headers)[1]["status"] for headers in (first, second)] == ["repeat", "repeat"]


def test_a_job_of_two_files_is_one_run_that_ends_whatever_comes_first(program: Program) -> None:
    ids = {"app_id": "a", "room_id": "r", "job_id": "whole"}
    begun = now_ms() - 60_000
    told_at = {
        begun: ids | {"event_type": "RECORD_NEW_FILE_START", "record_format": "HLS"},
        begun + 1: ids | {"event_type": "RECORD_NEW_FILE_START", "record_format": "MP4"},
        begun + 2: SAMPLE | ids | {"obs_object": "a.m3u8"},
        begun + 3: SAMPLE | ids | {"obs_object": "a.mp4", "record_format": "MP4"},
        begun + 4: ids | {"event_type": "CLOUD_RECORD_SERVER_OVER", "detail_message": "TENANT_STOP"},
    }
    for at, values in reversed(told_at.items()):
        body = json.dumps(values).encode()
        assert post(program, body, headers_of("rand", str(at), body))[1]["status"] == "kept"
    wait_until(
        lambda: [item["recording_count"] for item in api(program, "tasks?task_id=whole")] == [2], what="both files"
    )
    wait_until(
        lambda: len(api(program, "deliveries?state=kept")) == 0,
        what="the processing of what was kept",
    )
    (item,) = api(program, "tasks?task_id=whole")
    assert (item["run"], item["state"], item["reason"]) == (1, "stopped", "TENANT_STOP")


def test_a_cut_or_stale_or_unsigned_callback_is_refused_at_the_door(program: Program) -> None:
    body = a_job("nobody")
    signed_at = str(now_ms())
    headers = headers_of("rand", signed_at, body)
    shifted = headers | {"x-rtc-timestamp": signed_at[:10]}
    stale = headers_of("rand", str(now_ms() - 16 * 60_000), body)
    token = {"account": "clinic?token=a-token-for-the-unsigned-0123456789"}
    refused = [
        post(program, signed_at[10:].encode() + body, shifted),
        post(program, body, stale),
        post(program, body, {}),
        post(program, body, {}, **token),
        post(program, body, {}, "unsigned"),
        post(program, body, headers, "unsigned?token=wrong"),
    ]
    assert [status for status, _ in refused] == [401] * 6
    details = [answer["detail"] for _, answer in refused]
    for detail, words in zip(
        details, ["cut elsewhere", "max_skew", "missing", "missing", "no token", "wrong"], strict=True
    ):
        assert words in detail
    assert not api(program, "recordings?task_id=nobody")
    wait_until(
        lambda: (
            Counter(item["reason"] for item in api(program, "refusals"))
            >= Counter({"bad_signature": 4, "bad_token": 2})
        ),
        what="the refusals",
    )
    assert post(program, body, headers)[1]["status"] == "kept", "the cut one does not stand in the way of the true one"


def test_without_a_signature_the_token_opens_and_rotation_keeps_the_old_key(program: Program) -> None:
    body = a_job("by-token")
    target = "unsigned?token=a-token-for-the-unsigned-0123456789"
    assert post(program, body, {}, target)[1]["status"] == "kept"
    assert post(program, body, {}, target)[1]["status"] == "repeat"
    body = a_job("by-old-key")
    assert post(program, body, headers_of("rand", str(now_ms()), body, OLD_KEY))[1]["status"] == "kept"


def test_the_generated_account_signs_and_is_printed_with_its_key(tmp_path: Path) -> None:
    environ = {"REELHOOK_DATA": str(tmp_path / "data")}
    urls = told("accounts", "--json", environ=environ)
    (url,) = [item["callback_url"] for item in urls if item["vendor"] == "huawei"]
    assert url.endswith("/callbacks/huawei/default")
    printed = typed("accounts", environ=environ).stdout
    key = printed.split(url)[1].split("signing key")[1].split()[0]
    assert 32 <= len(key) <= 64, "what the console takes"
    assert "no door for this vendor" not in printed.split("huawei, account default")[1].split("signing key")[0]
    with running(environ, "serve", log=tmp_path / "log") as started:
        started.ready()
        body = a_job("generated")
        answer = request(
            "POST",
            f"{started.url}/callbacks/huawei/default",
            body,
            headers=headers_of("rand", str(now_ms()), body, key),
        )
        assert (answer.status, answer.json()["status"]) == (200, "kept")
