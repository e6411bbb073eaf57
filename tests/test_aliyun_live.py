"""The callbacks of ApsaraVideo Live about ARTC's recordings: what they mean, and that Live signed them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from handlers import drift, tables
from handlers.errors import BadSignature, BadToken, RefusedDelivery, UnreadableDelivery
from handlers.events import Delivery, Event, Incoming, TaskKey
from handlers.inbox import Inbox
from handlers.inbox.processing import Processor
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors import VENDORS
from handlers.vendors.aliyun import VENDOR

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.keeping.keeper import Keeper
    from handlers.settings import Settings

FIXTURES = Path(__file__).parent / "fixtures" / "aliyun"
SAMPLE: dict[str, Any] = json.loads((FIXTURES / "Live-TaskStopped.json").read_bytes())
STOPPED_AT = SAMPLE["callbackTs"]
NOW = 1_748_417_138_000
MINUTE = 60_000
KEY = "mytestkeymytestkey"
ACCOUNT = Account(
    name="lessons",
    vendor="aliyun",
    url_tokens=(Secret.literal("right"), Secret.literal("older")),
    callback_secrets=(Secret.literal("anewkeyofourownxx"), Secret.literal(KEY)),
)
SIGNED_ONLY = ACCOUNT.model_copy(update={"url_tokens": ()})


def read(body: bytes, **headers: str) -> Event:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    delivery = Delivery(
        id="dlv_1", account="lessons", vendor="aliyun", door="http", received_at=NOW, headers=told, body=body
    )
    (event,) = VENDOR.read(delivery)
    return event


def fixture(word: str) -> Event:
    return read((FIXTURES / f"Live-{word}.json").read_bytes())


def read_with(**changed: Any) -> Event:
    """Read the sample with these fields changed; ... takes one away."""
    values = {name: value for name, value in (SAMPLE | changed).items() if value is not ...}
    return read(json.dumps(values).encode())


def signature(timestamp: str, key: str) -> str:
    """Sign as the vendor's page says, by other means than the product's."""
    digest = hashlib.new("md5", usedforsecurity=False)
    for part in (timestamp, "|", key):
        digest.update(part.encode())
    return digest.hexdigest()


def callback(**changed: Any) -> Incoming:
    """Return a callback that Live signed just now, with what is given changed."""
    timestamp = str(NOW // 1000)
    told = Incoming(
        vendor="aliyun",
        account="lessons",
        door="http",
        received_at=NOW,
        headers={"ali-live-timestamp": timestamp, "ali-live-signature": signature(timestamp, KEY)},
        body=(FIXTURES / "Live-TaskStopped.json").read_bytes(),
        token="right",
    )
    return replace(told, **changed)


# --- reading ----------------------------------------------------------------------------------------------------------

TASK = TaskKey(vendor="aliyun", app_id=SAMPLE["appId"], room_id="room1024", type="record", task_id=SAMPLE["taskId"])


@pytest.mark.parametrize(
    ("word", "kind", "state"),
    [
        ("TaskStarting", "task.started", "running"),
        ("TaskRunning", "task.started", "running"),
        ("TaskStopped", "task.stopped", "stopped"),
        ("TaskCreated", "unknown", None),
        ("TaskRecovering", "unknown", None),
        ("TaskStopping", "unknown", None),
        ("RecordFileUploaded", "unknown", None),
    ],
)
def test_a_word_tells_the_state_of_its_task_or_nothing(word: str, kind: str, state: str | None) -> None:
    sent = json.loads((FIXTURES / f"Live-{word}.json").read_bytes())["callbackTs"]
    assert fixture(word) == Event(kind=kind, word=word, at=sent, task=TASK, state=state)  # type: ignore[arg-type] # mypy takes no str for a literal


def test_no_word_begins_a_run_for_each_task_has_an_id_of_its_own() -> None:
    for path in FIXTURES.glob("Live-*.json"):
        assert not read(path.read_bytes()).begins


def test_the_time_is_that_of_the_sending_else_the_signed_one_else_when_it_came() -> None:
    body = (FIXTURES / "Live-TaskStopped-without-time.json").read_bytes()
    assert fixture("TaskStopped").at == STOPPED_AT
    assert fixture("TaskRunning-time-as-text").at == STOPPED_AT - 2_500
    assert read(body, ali_live_timestamp="1744774345").at == 1_744_774_345_000
    assert read(body, ali_live_timestamp="soon").at == read(body).at == NOW


def test_what_the_payload_holds_is_left_alone() -> None:
    for payload in ("{}", "not json", "", {"a": [None]}, None, ...):
        assert read_with(payload=payload) == fixture("TaskStopped")


@pytest.mark.parametrize("field", ["appId", "channelId", "taskId"])
@pytest.mark.parametrize("value", [..., None, "", True, 1.5, [], {}, "a\0b", "\ud83d", "x" * 5000])
def test_a_missing_or_wrong_id_is_unreadable_and_named(field: str, value: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=f"^{field} "):
        read_with(**{field: value})
    event = read_with(eventType="TaskRecovering", **{field: value})
    assert (event.kind, event.task, event.at) == ("unknown", None, STOPPED_AT)


@pytest.mark.parametrize("value", [True, 1.5, [], {}, "soon", "١٢", -1, "-1", 32_503_680_000_000, 10**400, "1e3", "\0"])
def test_a_wrong_time_costs_nothing_but_itself(value: Any) -> None:
    for word in ("TaskStopped", "TaskRecovering"):
        with drift.noting() as noted:
            assert read_with(eventType=word, callbackTs=value).at == NOW
        assert noted == {("wrong", "callbackTs")}


@pytest.mark.parametrize("value", [1_744_774_350, "1744774350", 1_744_774_350_000, "1744774350000"])
def test_a_time_in_seconds_is_told_by_its_size(value: Any) -> None:
    assert read_with(callbackTs=value).at == 1_744_774_350_000
    assert read_with(eventType="TaskRecovering", callbackTs=value).at == 1_744_774_350_000


def test_a_time_of_nought_is_none() -> None:
    assert read_with(callbackTs=0).at == read_with(callbackTs="0").at == NOW


@pytest.mark.parametrize("word", ["TaskFailed", "taskstopped", "TaskStopped ", "录制", 7, "", None])
def test_a_word_that_we_do_not_know_is_kept_and_is_no_error(word: Any) -> None:
    event = read_with(eventType=word)
    assert (event.kind, event.word, event.task) == ("unknown", str(word or ""), TASK)


@pytest.mark.parametrize("word", [True, [], {}, "Task\0", "\ud800", "x" * 5000])
def test_a_word_that_is_no_text_is_unreadable(word: Any) -> None:
    with pytest.raises(UnreadableDelivery, match=r"^eventType "):
        read_with(eventType=word)


def test_a_callback_of_rtc_is_not_taken_for_one_of_live() -> None:
    rtc = json.loads((FIXTURES / "FileCreated.json").read_bytes())
    assert read(json.dumps(rtc | {"eventType": "TaskStopped"}).encode()).kind == "recording.available"


def test_a_callback_of_dingrtc_is_unknown_and_seen_by_its_word() -> None:
    ding = {"eventId": "1", "eventType": "2001", "notifyTime": STOPPED_AT, "eventData": {"channelId": "room1024"}}
    assert read(json.dumps(ding).encode()) == Event(kind="unknown", word="2001", at=NOW)


# --- verifying --------------------------------------------------------------------------------------------------------


def test_a_callback_with_its_token_and_signature_is_accepted() -> None:
    told = VENDOR.verify(callback(), ACCOUNT)
    assert (told.secret, told.signed_at) == (1, NOW)
    assert told.keys == VENDOR.keys(callback())


def test_any_of_the_keys_is_accepted_and_the_older_of_key_and_token_is_told() -> None:
    timestamp = str(NOW // 1000)
    new = {"ali-live-timestamp": timestamp, "ali-live-signature": signature(timestamp, "anewkeyofourownxx")}
    assert VENDOR.verify(callback(headers=new), ACCOUNT).secret == 0
    assert VENDOR.verify(callback(headers=new, token="older"), ACCOUNT).secret == 1


def test_a_signature_in_capitals_is_the_same() -> None:
    headers = {name: value.upper() for name, value in callback().headers.items()}
    assert VENDOR.verify(callback(headers=headers), ACCOUNT).keys


def test_the_signature_does_not_cover_the_body_and_so_does_not_stand_for_the_token() -> None:
    for token in (None, "", "wrong"):
        with pytest.raises(BadToken, match=r"url_tokens of \[accounts\.lessons\]"):
            VENDOR.verify(callback(token=token), ACCOUNT)
    with pytest.raises(BadToken, match=r"url_tokens of \[accounts\.lessons\] is empty"):
        VENDOR.verify(callback(token=None), SIGNED_ONLY)


def test_an_unsigned_callback_needs_the_token() -> None:
    assert VENDOR.verify(callback(headers={}), ACCOUNT).signed_at is None
    for account in (ACCOUNT, SIGNED_ONLY):
        with pytest.raises(BadToken):
            VENDOR.verify(callback(headers={}, token=None), account)


def test_an_account_without_lives_keys_goes_by_the_token() -> None:
    account = ACCOUNT.model_copy(update={"callback_secrets": ()})
    assert VENDOR.verify(callback(), account).signed_at is None
    with pytest.raises(BadToken):
        VENDOR.verify(callback(token="wrong"), account)


def test_a_callback_with_another_body_is_another_delivery() -> None:
    other = callback(body=json.dumps(SAMPLE | {"taskId": "another"}).encode())
    assert VENDOR.keys(other) != VENDOR.keys(callback())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ali-live-signature", None),
        ("ali-live-timestamp", None),
        ("ali-live-signature", ""),
        ("ali-live-signature", "0" * 32),
        ("ali-live-signature", signature(str(NOW // 1000), "another")),
        ("ali-live-signature", signature(str(NOW // 1000), KEY) + " "),
        ("ali-live-signature", "\ud800"),
        ("ali-live-timestamp", str(NOW // 1000 + 1)),
        ("ali-live-timestamp", str(NOW)),
        ("ali-live-timestamp", f" {NOW // 1000}"),
        ("ali-live-timestamp", f"+{NOW // 1000}"),
        ("ali-live-timestamp", "١٧٤٨٤١٧١٣٨"),
    ],
)
def test_a_wrong_or_missing_half_of_the_signature_is_refused_and_the_setting_named(
    name: str, value: str | None
) -> None:
    headers = dict(callback().headers) | {name: value}
    came = {name: value for name, value in headers.items() if value is not None}
    with pytest.raises(BadSignature) as caught:
        VENDOR.verify(callback(headers=came), ACCOUNT)
    assert KEY not in str(caught.value)
    assert "Ali-Live-" in str(caught.value)


def test_text_does_not_move_from_the_key_into_the_timestamp() -> None:
    account = ACCOUNT.model_copy(update={"callback_secrets": (Secret.literal("1|abcdefghijklmnop"),)})
    shifted = {
        "ali-live-timestamp": "1748417138|1",
        "ali-live-signature": signature("1748417138", "1|abcdefghijklmnop"),
    }
    with pytest.raises(BadSignature, match="is no time"):
        VENDOR.verify(callback(headers=shifted), account)


@pytest.mark.parametrize("late", [-5 * MINUTE, 0, 5 * MINUTE])
def test_a_callback_of_the_last_five_minutes_is_fresh(late: int) -> None:
    assert VENDOR.verify(callback(received_at=NOW + late), ACCOUNT).signed_at == NOW


@pytest.mark.parametrize("late", [-5 * MINUTE - 1, 5 * MINUTE + 1, 86_400_000, -86_400_000])
def test_a_stale_callback_is_refused_and_the_setting_named(late: int) -> None:
    with pytest.raises(BadSignature, match=r"^stale: .*max_age of \[accounts\.lessons\]"):
        VENDOR.verify(callback(received_at=NOW + late), ACCOUNT)


def test_a_callback_that_waited_in_a_queue_is_never_stale() -> None:
    waited = replace(callback(), door="sqs", received_at=NOW + 3 * 24 * 60 * MINUTE)
    assert VENDOR.verify(waited, ACCOUNT).signed_at == VENDOR.verify(callback(), ACCOUNT).signed_at
    with pytest.raises(BadToken):
        VENDOR.verify(replace(waited, token="wrong"), ACCOUNT)


def test_max_age_says_how_old_a_callback_may_be() -> None:
    hour = ACCOUNT.model_copy(update={"max_age": 60 * MINUTE})
    assert VENDOR.verify(callback(received_at=NOW + 60 * MINUTE), hour).keys
    with pytest.raises(BadSignature):
        VENDOR.verify(callback(received_at=NOW + 60 * MINUTE + 1), hour)
    with pytest.raises(BadSignature):
        VENDOR.verify(callback(received_at=NOW - 6 * MINUTE), hour)


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)


@given(timestamp=ANY_TEXT, proof=ANY_TEXT, body=st.binary(max_size=100), token=ANY_TEXT | st.just("right"))
def test_any_headers_are_accepted_or_refused(timestamp: str, proof: str, body: bytes, token: str) -> None:
    headers = {"ali-live-timestamp": timestamp, "ali-live-signature": proof}
    if not timestamp and not proof:
        return
    with pytest.raises(RefusedDelivery):
        VENDOR.verify(callback(headers=headers, body=body, token=token), ACCOUNT)


# --- whole ------------------------------------------------------------------------------------------------------------


def test_the_vendor_gets_the_answer_that_live_expects() -> None:
    assert dict(VENDOR.answer) == {"Code": 0, "Msg": "Success"}


def test_a_task_that_runs_recovers_and_stops_is_one_run(database: Database, settings: Settings, keeper: Keeper) -> None:
    ours = settings.account("aliyun", "lessons")
    assert ours is not None
    bound = ours.model_copy(update={"callback_secrets": (Secret.literal(KEY),)})
    settings = replace(settings, accounts={("aliyun", "lessons"): bound})
    inbox = Inbox(settings, VENDORS, keeper)
    token = ours.url_tokens[0].reveal()
    for word in ("TaskCreated", "TaskStarting", "TaskRunning", "TaskRecovering", "TaskStopping", "TaskStopped"):
        body = (FIXTURES / f"Live-{word}.json").read_bytes()
        assert not inbox.accept(callback(body=body, token=token)).accepted.is_repeat
    again = json.dumps(SAMPLE | {"eventType": "TaskRunning", "callbackTs": STOPPED_AT - 1}).encode()
    inbox.accept(callback(body=again, token=token))
    assert inbox.accept(callback(body=again, token=token)).accepted.is_repeat
    Processor(database, settings, VENDORS).process()
    with database.read() as connection:
        task = connection.execute(select(tables.tasks)).mappings().one()
    assert (task["task_id"], task["run"], task["state"]) == (SAMPLE["taskId"], 1, "stopped")
    assert (task["started_at"], task["ended_at"]) == (STOPPED_AT - 4_000, STOPPED_AT)
