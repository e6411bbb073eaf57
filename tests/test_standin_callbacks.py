"""The vendors' callbacks as the stand-in sends them: signed right by the vendors' own examples, and taken as theirs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from program import Answer, request, running, wait_until
from receiver import receiving
from terminal import asked, told, typed

from handlers.errors import BadSignature, BadToken
from handlers.events import Delivery
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors import VENDORS
from standin.callbacks import aliyun, huawei, live, volcengine
from standin.callbacks.callback import Callback, Counterpart
from standin.mns import MnsStandin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.events import Event, Incoming

SECRET = "a-secret-of-thirty-two-characters"
EVERY_EVENT = [
    *(pytest.param("volcengine", word, id=f"volcengine-{word}") for word in volcengine.EVENTS),
    *(pytest.param("huawei", word, id=f"huawei-{word}") for word in huawei.EVENTS),
    *(pytest.param("aliyun", word, id=f"aliyun-{word}") for word in (*aliyun.EVENTS, *live.EVENTS)),
]
#: events that the catalogue has no use for: kept, and told as unknown
WITHOUT_MEANING = {
    *(word for word in volcengine.EVENTS if not word.startswith(("Record", "Segment", "Transcode"))),
    *(word for word in huawei.EVENTS if word.startswith("RTC_")),
    *("TaskCreated", "TaskRecovering", "TaskStopping", "RecordFileUploaded"),
}


def account(vendor: str, secret: str = SECRET) -> Account:
    key = "url_tokens" if vendor == "aliyun" else "callback_secrets"
    return Account.model_validate({"name": "default", "vendor": vendor, key: (Secret.literal(secret),)})


def sent(*arguments: str, secret: str = SECRET) -> Incoming:
    """Send one callback with the command, and return it as it came."""
    with receiving() as receiver:
        done = asked("standin", "callbacks", *arguments, "--to", receiver.url, "--secret", secret, environ={})
        assert done.returncode == 0, done
        (came,) = receiver.came
    return came.incoming()


def read(incoming: Incoming) -> Sequence[Event]:
    delivery = Delivery(
        id="dlv_0",
        account=incoming.account,
        vendor=incoming.vendor,
        door=incoming.door,
        received_at=incoming.received_at,
        headers=incoming.headers,
        body=incoming.body,
    )
    return VENDORS[incoming.vendor].read(delivery)


def test_volcengines_signature_is_that_of_the_vendors_example() -> None:
    """The example of https://www.volcengine.com/docs/6348/69820."""
    envelope = {
        "EventType": "RoomCreate",
        "EventData": '{"RoomId":"room1","Timestamp":1679383924691}',
        "EventTime": "2023-03-21T15:32:04+08:00",
        "EventId": "123456",
        "Version": "2020-12-01",
        "AppId": "appId",
    }
    expected = "1c7200723842eff514b65fc3f065597432bbb4249e10d33db79b3853d05f3691"
    assert volcengine.signature(envelope, "aaBc", "1234") == expected
    assert volcengine.signature(envelope, "aaBc", "1235") != expected


def test_huaweis_signature_is_that_of_an_independent_reckoning() -> None:
    """Rand, timestamp and body one behind the other: https://support.huaweicloud.com/rtc_faq/rtc_06_0144.html."""
    key, rand, timestamp = "0123456789abcdef0123456789abcdef", "8f14e45fceea167a", "1619600282"
    body = b'{"event_type":"RECORD_FILE_COMPLETE","app_id":"5fcdf5651","job_id":"608196a2","room_id":"room01"}'
    expected = "b7909c91068ca17d637a016feb1c0b1124133f68103074f42fbf9a8f212f3983"
    assert huawei.signature(rand, timestamp, body, key) == expected


def test_the_signature_covers_the_bytes_that_are_sent() -> None:
    came = sent("huawei", "RECORD_FILE_COMPLETE", "--unit", "ms")
    content = came.headers["x-rtc-rand"] + came.headers["x-rtc-timestamp"]
    digest = hmac.new(SECRET.encode(), content.encode() + came.body, hashlib.sha256).hexdigest()
    assert came.headers["x-rtc-signature"] == digest
    assert len(came.headers["x-rtc-timestamp"]) == 13
    outer = json.loads(sent("volcengine", "RecordStopped").body)
    names = ("EventType", "EventData", "EventTime", "EventId", "AppId", "Version", "Nonce")
    values = sorted([*(outer[name] for name in names), SECRET])
    assert outer["Signature"] == hashlib.sha256("".join(values).encode()).hexdigest()


@pytest.mark.parametrize(("vendor", "word"), EVERY_EVENT)
def test_every_event_of_every_vendor_is_authentic_and_understood(vendor: str, word: str) -> None:
    came = sent(vendor, word)
    VENDORS[vendor].verify(came, account(vendor))
    events = read(came)
    assert {event.word for event in events} == {word}
    assert all((event.kind == "unknown") == (word in WITHOUT_MEANING) for event in events), events


@pytest.mark.parametrize("vendor", ["volcengine", "huawei", "aliyun"])
def test_another_secret_is_refused(vendor: str) -> None:
    word = {"volcengine": "RecordStopped", "huawei": "RECORD_FILE_COMPLETE", "aliyun": "FileCreated"}[vendor]
    came = sent(vendor, word, secret="somebody-elses-secret-of-32-chars")
    with pytest.raises((BadSignature, BadToken)):
        VENDORS[vendor].verify(came, account(vendor))


def test_the_older_generation_and_the_older_spelling_mean_the_same() -> None:
    new = sent("volcengine", "SegmentRealTimeData", "--set", "Data.0.ObjectKey=a", "--set", "Data.1.ObjectKey=b")
    old = sent("volcengine", "SegmentRealTimeData", "--generation", "2020-12-01", "--nonce-name", "Noce")
    assert "TosBucket" in json.loads(old.body)["EventData"]
    assert "Noce" in json.loads(old.body)
    assert "Nonce" not in json.loads(old.body)
    VENDORS["volcengine"].verify(old, account("volcengine"))
    assert [event.segment.bucket for event in read(old) if event.segment] == ["lessons", "lessons"]
    assert [event.segment.key for event in read(new) if event.segment] == ["a", "b"]
    file = json.loads(json.loads(sent("volcengine", "RecordStopped", "--generation", "2020-12-01").body)["EventData"])
    assert "Vid" in file["RecordFileList"][0]
    assert "ObjectKey" not in file["RecordFileList"][0]


def test_a_field_can_be_changed_and_left_out_before_it_is_signed() -> None:
    came = sent(
        *("volcengine", "RecordStopped", "--set", "RecordFileList.0.Duration=60000", "--set", "TaskId=17"),
        *("--set", "EventId=event-9", "--without", "BusinessId"),
    )
    VENDORS["volcengine"].verify(came, account("volcengine"))
    outer = json.loads(came.body)
    data = json.loads(outer["EventData"])
    assert outer["EventId"] == "event-9"
    assert data["TaskId"] == "17", "what held text stays text"
    assert data["RecordFileList"][0]["Duration"] == 60_000
    assert "BusinessId" not in data


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "RecordFileList.7.Duration=1"), "'7' is not there"),
        (("--set", "Duration"), "expected FIELD=VALUE"),
        (("--without", "Bucket"), "the event has no such field; it has AppId"),
        (("--to", "ftp://example.com"), "is no http:// or https:// address"),
    ],
)
def test_a_wrong_option_says_what_was_expected(arguments: tuple[str, ...], says: str) -> None:
    done = asked(
        *("standin", "callbacks", "volcengine", "RecordStopped", "--to", "http://127.0.0.1:9", "--secret", SECRET),
        *arguments,
        environ={},
    )
    assert done.returncode in {1, 2}
    assert says in done.stderr
    assert SECRET not in done.stderr


def test_each_of_many_is_another_callback_about_another_file() -> None:
    with receiving() as receiver:
        done = asked(
            *("standin", "callbacks", "volcengine", "RecordStopped", "--to", receiver.url, "--count", "5"),
            environ={"STANDIN_SECRET": SECRET},
        )
        assert done.returncode == 0, done
    events = [read(came.incoming()) for came in receiver.came]
    keys = {event.recording.key for told in events for event in told if event.recording}
    assert len(keys) == 5
    assert len({json.loads(came.body)["EventId"] for came in receiver.came}) == 5


def test_an_answer_other_than_200_ends_with_1() -> None:
    with receiving(200, 204) as receiver:
        done = asked(
            *("standin", "callbacks", "huawei", "RECORD_FILE_COMPLETE", "--to", receiver.url),
            *("--secret", SECRET, "--count", "2"),
            environ={},
        )
    assert done.returncode == 1
    assert "huawei RECORD_FILE_COMPLETE: 204" in done.stdout
    assert "1 of 2 were not answered with 200" in done.stderr


def test_nobody_there_ends_with_1_and_says_what_to_do() -> None:
    done = asked(
        *("standin", "callbacks", "huawei", "RECORD_FILE_COMPLETE", "--to", "http://127.0.0.1:9", "--secret", SECRET),
        environ={},
    )
    assert done.returncode == 1
    assert "is Reelhook running there? Say where with --to" in done.stderr


def test_the_printed_curl_line_sends_the_callback() -> None:
    with receiving() as receiver:
        for arguments in (("volcengine", "RecordStopped"), ("aliyun", "FileCreated")):
            done = asked(
                *("standin", "callbacks", *arguments, "--to", receiver.url, "--secret", SECRET, "--print"), environ={}
            )
            assert done.returncode == 0, done
            assert receiver.came == [], "nothing is sent"
            answer = _curl(done.stdout)
            assert answer.status == 200
            incoming = receiver.came.pop().incoming()
            VENDORS[arguments[0]].verify(incoming, account(arguments[0]))


def _curl(line: str) -> Answer:
    """Do what the line says."""
    program, _, method, *words = shlex.split(line)
    assert program == "curl"
    headers = {}
    while words[0] == "-H":
        name, _, value = words[1].partition(": ")
        headers[name] = value
        words = words[2:]
    option, body, url = words
    assert option == "--data-binary"
    return request(method, url, body.encode(), headers=headers)


def test_a_whole_url_of_any_receiver_is_taken_at_its_word() -> None:
    with receiving() as receiver:
        done = asked(
            *("standin", "callbacks", "huawei", "RECORD_FILE_COMPLETE", "--to", f"{receiver.url}/my/hook?room=1"),
            *("--secret", SECRET),
            environ={},
        )
    assert done.returncode == 0, done
    (came,) = receiver.came
    assert came.target == "/my/hook?room=1"


@pytest.mark.parametrize("encoding", ["raw", "base64", "topic", "topic-xml"])
def test_a_file_goes_through_a_queue_in_every_wrapping(encoding: str) -> None:
    with MnsStandin(access_keys={"ak": "sk"}) as mns:
        mns.create_queue("recordings")
        done = asked(
            *("standin", "callbacks", "aliyun", "FileCreated", "--queue", "recordings", "--encoding", encoding),
            *("--queue-endpoint", mns.endpoint, "--access-key-id", "ak", "--secret-access-key", "sk"),
            environ={},
        )
        assert done.returncode == 0, done
        (message,) = mns.messages("recordings")
    _is_wrapped(message.body, encoding)
    queued = Callback(vendor="aliyun", account="default", door="mns", headers={}, body=message.body.encode())
    (event,) = read(queued.incoming(0))
    assert event.kind == "recording.available"
    assert event.recording is not None
    assert event.recording.bucket == "rtc-record"


def _is_wrapped(body: str, encoding: str) -> None:
    if encoding == "raw":
        assert json.loads(body)["Event"] == "FileCreated"
    elif encoding == "base64":
        assert json.loads(base64.b64decode(body, validate=True))["Event"] == "FileCreated"
    elif encoding == "topic":
        assert json.loads(json.loads(body)["Message"])["Event"] == "FileCreated"
    else:
        assert body.startswith('<?xml version="1.0" encoding="utf-8"?><Notification')


def test_a_queue_that_is_not_there_ends_with_1() -> None:
    with MnsStandin(access_keys={"ak": "sk"}) as mns:
        done = asked(
            *("standin", "callbacks", "aliyun", "FileCreated", "--queue", "nowhere"),
            *("--queue-endpoint", mns.endpoint, "--access-key-id", "ak", "--secret-access-key", "sk"),
            environ={},
        )
    assert done.returncode == 1
    assert "QueueNotExist" in done.stderr


def test_every_event_is_listed() -> None:
    done = typed("standin", "callbacks", "--list", environ={})
    assert done.returncode == 0, done
    assert done.stdout.split("\n")[:-1] == [" ".join(map(str, each.values)) for each in EVERY_EVENT]


def test_the_signers_know_nothing_of_the_products_signatures() -> None:
    code = (
        "import sys\nfrom standin.callbacks import aliyun, huawei, volcengine, command\n"
        "print([name for name in sys.modules if name.startswith('handlers.vendors')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_options_callbacks_find_the_reelhook_that_runs_here_and_belong_together(tmp_path: Path) -> None:
    environ = {"REELHOOK_DATA": str(tmp_path / "data"), "REELHOOK_CONFIG": ""}
    with running(environ, "serve", log=tmp_path / "log") as program:
        program.ready()
        here = environ | {"PORT": str(program.port)}
        for vendor, word in AS_DOCUMENTED:
            done = typed("standin", "callbacks", vendor, word, environ=here)
            assert done.returncode == 0, done
            assert "kept" in done.stdout
        wait_until(lambda: _states(here) == ["available"] * 3, what="three recordings that are available")
        tasks = {task["vendor"]: task for task in told("tasks", "list", "--json", environ=here)["items"]}
    assert tasks.keys() == {"volcengine", "huawei", "aliyun"}, "each of one run"
    lesson = tasks["volcengine"]
    assert (lesson["state"], lesson["upload"], lesson["recording_count"]) == ("stopped", "done", 1)
    assert lesson["started_at"] < lesson["ended_at"]


#: the commands that docs/standin.md begins with
AS_DOCUMENTED = [
    ("volcengine", "RecordStarted"),
    ("volcengine", "RecordStopped"),
    ("volcengine", "RecordUploadDone"),
    ("huawei", "RECORD_FILE_COMPLETE"),
    ("aliyun", "FileCreated"),
]


def test_the_documented_commands_are_these() -> None:
    page = (Path(__file__).parent.parent / "docs" / "standin.md").read_text(encoding="utf-8")
    assert re.findall(r"^reelhook standin callbacks ([a-z]+) (\w+)", page, re.MULTILINE) == AS_DOCUMENTED


def _states(environ: dict[str, str]) -> list[str]:
    items: list[dict[str, Any]] = told("recordings", "list", "--json", environ=environ)["items"]
    return [item["state"] for item in items]


def test_a_reelhook_that_never_started_has_no_secret_to_sign_with(tmp_path: Path) -> None:
    done = typed("standin", "callbacks", "aliyun", "FileCreated", environ={"REELHOOK_DATA": str(tmp_path / "data")})
    assert done.returncode == 2
    assert "has no secret yet" in done.stderr
    assert not (tmp_path / "data").exists(), "asking makes nothing"


def test_a_huawei_account_without_a_key_is_called_by_its_token() -> None:
    to = Counterpart(vendor="huawei", account="clinic", token="a-token-in-the-url")
    callback = huawei.callback({"event_type": "RECORD_FILE_COMPLETE"}, to, at=0, rand="r")
    assert callback.headers == {"content-type": "application/json"}
    assert callback.target == "/callbacks/huawei/clinic?token=a-token-in-the-url"
    assert "a-token" not in repr(callback)
