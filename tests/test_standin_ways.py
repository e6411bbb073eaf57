"""The other ways of the stand-in's callbacks: Live's signature, the push of an MNS topic, every documented word."""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from receiver import receiving
from terminal import asked

from handlers.clock import now_ms
from handlers.errors import BadSignature, BadToken
from handlers.events import Incoming
from handlers.secrets import Secret
from handlers.settings import Account
from handlers.vendors import VENDORS
from handlers.vendors.aliyun import signature, topic
from handlers.vendors.aliyun.certificates import Certificates
from handlers.vendors.volcengine.words import WORDS
from standin.callbacks import huawei, live, volcengine

TOKEN = "a-token-of-thirty-two-characters"
KEY = "a-key-of-the-task-0123456789"
ACCOUNT = Account(
    name="lessons",
    vendor="aliyun",
    url_tokens=(Secret.literal(TOKEN),),
    callback_secrets=(Secret.literal(KEY),),
    topic_owner="1234567890",
    topic_name="recordings",
)
PAGES = Path(__file__).parent.parent / "docs" / "vendors"


def sent(word: str, *options: str, path: str = "") -> Incoming:
    """Send a callback of Alibaba's with the command, and return it as it came."""
    with receiving() as receiver:
        done = asked(
            *("standin", "callbacks", "aliyun", word, "--to", f"{receiver.url}{path}", "--account", "lessons"),
            *("--secret", TOKEN, *options),
            environ={},
        )
        assert done.returncode == 0, done
        (came,) = receiver.came
    return Incoming(
        vendor="aliyun",
        account="lessons",
        door="http",
        received_at=now_ms(),
        headers=came.headers,
        body=came.body,
        token=parse_qs(urlsplit(came.target).query).get("token", [None])[0],
        target=came.target,
    )


def test_lives_signature_is_that_of_the_page() -> None:
    assert live.signature("1744774345", KEY) == hashlib.md5(f"1744774345|{KEY}".encode()).hexdigest()  # noqa: S324 - what Live signs with


@pytest.mark.parametrize("word", live.EVENTS)
def test_a_word_of_live_is_signed_with_the_tasks_key(word: str) -> None:
    came = sent(word, "--notify-auth-key", KEY)
    assert VENDORS["aliyun"].verify(came, ACCOUNT).secret is not None
    with pytest.raises(BadSignature):
        VENDORS["aliyun"].verify(sent(word, "--notify-auth-key", f"{KEY}x"), ACCOUNT)
    assert not any(name.startswith("ali-live") for name in sent(word).headers), "no key, no signature"


def fetching(folder: Path, asked_for: list[str]) -> Certificates:
    """Return certificates that are fetched from the folder, as if it were the vendor's host."""

    def fetch(url: str) -> bytes:
        asked_for.append(url)
        return (folder / "mns.pem").read_bytes()

    return Certificates(fetch)


@pytest.mark.parametrize("encoding", ["raw", "base64", "topic", "topic-xml"])
def test_a_push_is_what_the_door_of_the_topics_takes(encoding: str, tmp_path: Path) -> None:
    asked_for: list[str] = []
    came = replace(sent("FileCreated", "--topic", str(tmp_path), "--encoding", encoding), door="mns-topic")
    verify = signature.by_door(topic.Pushes(fetching(tmp_path, asked_for)).verify)
    assert came.target is not None
    assert came.target.startswith("/callbacks/aliyun/lessons/mns-topic?token=")
    assert verify(came, ACCOUNT).keys
    assert asked_for == ["https://mnstest.oss-cn-hangzhou.aliyuncs.com/x509_public_certificate.pem"]
    with pytest.raises(BadSignature):
        verify(replace(came, target=f"{came.target}&x=1"), ACCOUNT)
    if encoding in {"raw", "base64"}:
        with pytest.raises(BadToken):
            verify(replace(came, token="wrong"), ACCOUNT)


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "topic"
    one, other = (sent("FileCreated", "--topic", str(folder), path="/my/hook") for _ in range(2))
    assert stat.S_IMODE((folder / "mns.key").stat().st_mode) == 0o600
    verify = topic.Pushes(fetching(folder, [])).verify
    for came in (one, other):
        assert came.target == "/my/hook"
        assert verify(replace(came, token=TOKEN), ACCOUNT).keys


@pytest.mark.parametrize(
    ("word", "options", "says"),
    [
        ("TaskStopped", ("--queue", "q"), "TaskStopped is a word of Live, which calls back by HTTP alone"),
        ("FileCreated", ("--queue", "q", "--sqs-queue", "http://127.0.0.1:9/1/q"), "exclude each other"),
        ("FileCreated", ("--sqs-queue", "http://127.0.0.1:9/1/q", "--print"), "--print and --sqs-queue exclude"),
        ("FileCreated", ("--sqs-queue", "recordings"), "is no queue's URL"),
    ],
)
def test_ways_that_do_not_go_together_are_told(word: str, options: tuple[str, ...], says: str) -> None:
    done = asked("standin", "callbacks", "aliyun", word, "--secret", TOKEN, *options, environ={})
    assert done.returncode in {1, 2}
    assert says in done.stderr


def test_every_word_that_a_page_of_ours_has_can_be_sent() -> None:
    assert set(volcengine.EVENTS) == WORDS
    told = set(re.findall(r"`((?:RTC|RECORD|CLOUD_RECORD)_[A-Z_]+)`", (PAGES / "huawei.md").read_text()))
    assert told - {"RECORD_START", "RECORD_OVER"} <= set(huawei.EVENTS), "those two are Huawei Live's"
    told = set(re.findall(r"`(Task[A-Z][a-z]+|RecordFileUploaded)`", (PAGES / "aliyun.md").read_text()))
    assert told - {"TaskExisted", "TaskProfile", "TaskId"} <= set(live.EVENTS)
