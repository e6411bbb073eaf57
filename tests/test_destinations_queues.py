"""sqs.send and sns.publish against moto, mns.send and mns.publish against the MNS stand-in, read by other clients."""

from __future__ import annotations

import base64
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from mns.subscription import SubscriptionMeta
from mns.topic import TopicMeta
from mns_client import KEYS, client
from moto.server import ThreadedMotoServer
from receivers import ACTION, handover, says, speaker
from rule_operations import problems_of

from handlers.destinations import OPERATIONS, Means, hand_over
from handlers.operation import find_problems
from handlers.rules import Known
from handlers.secrets import Secret
from handlers.settings import (
    Destination,
    MnsQueueDestination,
    MnsTopicDestination,
    SnsDestination,
    SqsDestination,
)
from standin.mns import MnsStandin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.destinations import Handover

ACCESS: dict[str, Any] = {
    "access_key_id": Secret.literal("an-access-key"),
    "secret_access_key": Secret.literal("hush-hush-secret"),
}
AWS = {"aws_access_key_id": "an-access-key", "aws_secret_access_key": "hush-hush-secret", "region_name": "eu-west-1"}
MNS: dict[str, Any] = {
    "access_key_id": Secret.literal("ak"),
    "secret_access_key": Secret.literal(KEYS["ak"]),
    "timeout": 3_000,
}


@pytest.fixture
def means() -> Iterator[Means]:
    made = Means()
    yield made
    made.close()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def aws(service: str, endpoint: str) -> Any:
    return boto3.session.Session().client(service, endpoint_url=endpoint, **AWS)


def sqs(endpoint: str, url: str, **told: Any) -> SqsDestination:
    return SqsDestination(
        **{"name": "jobs", "kind": "sqs", "region": "eu-west-1", "endpoint": endpoint, "url": url, **ACCESS, **told}
    )


@pytest.fixture
def queue(moto: str) -> Iterator[tuple[Any, str]]:
    reader = aws("sqs", moto)
    url = reader.create_queue(QueueName="jobs")["QueueUrl"]
    yield reader, url
    reader.delete_queue(QueueUrl=url)


def received(reader: Any, url: str) -> list[Any]:
    told = {"MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"], "MaxNumberOfMessages": 10}
    return list(reader.receive_message(QueueUrl=url, **told).get("Messages", []))


# --- SQS and SNS -----------------------------------------------------------------------------------------------------


def test_a_change_arrives_in_a_queue_of_sqs_with_attributes_to_filter_by(
    means: Means, moto: str, queue: tuple[Any, str]
) -> None:
    outcome = hand_over("sqs.send", handover(), sqs(moto, queue[1]), means)
    (message,) = received(*queue)
    assert (outcome.verdict, outcome.detail) == ("done", f"message {message['MessageId']}")
    assert json.loads(message["Body"])["id"] == ACTION
    assert {name: one["StringValue"] for name, one in message["MessageAttributes"].items()} == {
        "reelhook-action": ACTION,
        "reelhook-change": "recording.available",
        "reelhook-vendor": "volcengine",
        "reelhook-account": "classroom",
        "content-type": "application/cloudevents+json",
    }


def test_a_fifo_queue_takes_an_action_once_and_keeps_the_order_of_its_lane(means: Means, moto: str) -> None:
    reader = aws("sqs", moto)
    url = reader.create_queue(QueueName="jobs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    lane = "record/app 1/课/lesson"
    for _ in range(2):
        assert hand_over("sqs.send", handover(lane=lane), sqs(moto, url), means).verdict == "done"
    assert hand_over("sqs.send", handover(id="act_2"), sqs(moto, url), means).verdict == "done"
    messages = received(reader, url)
    assert [one["Attributes"]["MessageDeduplicationId"] for one in messages] == [ACTION, "act_2"]
    assert messages[1]["Attributes"]["MessageGroupId"] == "rec_1"
    assert len(messages[0]["Attributes"]["MessageGroupId"]) == 64


def test_what_is_too_long_for_sqs_is_refused_with_its_size_and_not_sent(
    means: Means, moto: str, queue: tuple[Any, str]
) -> None:
    told = handover(parameters={"to": "jobs", "body": "课" * 88_000})
    outcome = hand_over("sqs.send", told, sqs(moto, queue[1]), means)
    assert outcome.verdict == "give_up"
    assert outcome.detail.startswith("the message is 264")
    assert received(*queue) == []
    fits = handover(parameters={"to": "jobs", "body": "x" * 261_000})
    assert hand_over("sqs.send", fits, sqs(moto, queue[1]), means).verdict == "done"


def test_a_queue_that_is_not_there_is_told_with_what_to_mend(means: Means, moto: str) -> None:
    outcome = hand_over("sqs.send", handover(), sqs(moto, f"{moto}/123456789012/none"), means)
    assert outcome.verdict == "again"
    assert "NonExistentQueue" in (outcome.code or "")
    assert "create the queue" in outcome.meaning


def test_a_change_arrives_at_a_topic_of_sns_and_in_the_queue_behind_it(means: Means, moto: str) -> None:
    sns, reader = aws("sns", moto), aws("sqs", moto)
    topic = sns.create_topic(Name="changes")["TopicArn"]
    url = reader.create_queue(QueueName="behind")["QueueUrl"]
    arn = reader.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    filters = json.dumps({"reelhook-change": ["recording.available"]})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"FilterPolicy": filters})
    target = SnsDestination(name="n", kind="sns", region="eu-west-1", endpoint=moto, topic=topic, **ACCESS)
    told = handover(parameters={"to": "n", "subject": "A recording"})
    assert hand_over("sns.publish", told, target, means).verdict == "done"
    envelope = json.loads(received(reader, url)[0]["Body"])
    assert (envelope["Subject"], json.loads(envelope["Message"])["id"]) == ("A recording", ACTION)


def test_a_topic_that_is_not_there_is_told_with_what_to_mend(means: Means, moto: str) -> None:
    topic = "arn:aws:sns:eu-west-1:123456789012:none"
    target = SnsDestination(name="n", kind="sns", region="eu-west-1", endpoint=moto, topic=topic, **ACCESS)
    outcome = hand_over("sns.publish", handover(), target, means)
    assert (outcome.verdict, "create the topic" in outcome.meaning) == ("again", True)


def test_sqs_that_takes_no_connection_was_sent_nothing(means: Means) -> None:
    outcome = hand_over("sqs.send", handover(), sqs("http://127.0.0.1:1", "http://127.0.0.1:1/1/jobs"), means)
    assert (outcome.verdict, outcome.is_unclear) == ("again", False)


@pytest.mark.parametrize("closes", [True, False])
def test_sqs_that_gives_no_answer_leaves_open_whether_the_message_is_there(means: Means, *, closes: bool) -> None:
    with speaker(says(closes=closes)) as url:
        outcome = hand_over("sqs.send", handover(), sqs(url, f"{url}/1/jobs", timeout=400), means)
    assert (outcome.verdict, outcome.is_unclear) == ("again", True)
    assert "hush" not in repr(outcome)


@pytest.mark.parametrize(
    ("operation", "wrong"),
    [
        ("sqs.send", {"delay_seconds": 901}),
        ("sqs.send", {"queue": "x"}),
        ("sns.publish", {"subject": "课"}),
        ("sns.publish", {"subject": ""}),
        ("mns.send", {"encoding": "gzip"}),
        ("mns.send", {"priority": 17}),
        ("mns.publish", {"tag": "x" * 17}),
        ("celery.send", {"args": "x"}),
        ("celery.send", {"kwargs": ["x"]}),
        ("python.call", {"arguments": ["x"]}),
    ],
)
def test_parameters_that_the_service_would_refuse_are_refused_beforehand(operation: str, wrong: dict[str, Any]) -> None:
    assert find_problems(OPERATIONS[operation].parameters, {"to": "x", **wrong})


# --- MNS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mns() -> Iterator[MnsStandin]:
    with MnsStandin(access_keys=KEYS) as standin:
        standin.create_queue("changes", visibility_timeout=30)
        yield standin


def to_queue(standin: MnsStandin | str, **told: Any) -> MnsQueueDestination:
    endpoint = standin if isinstance(standin, str) else standin.endpoint
    return MnsQueueDestination(
        **{"name": "jobs", "kind": "mns-queue", "queue": "changes", "endpoint": endpoint, **MNS, **told}
    )


def bodies(mns: MnsStandin) -> list[str]:
    return [message.body for message in mns.messages("changes")]


@pytest.mark.parametrize("encoding", ["base64", "raw"])
def test_a_change_arrives_in_a_queue_of_mns_as_the_vendors_client_reads_it(
    means: Means, mns: MnsStandin, encoding: str
) -> None:
    told = handover(parameters={"to": "jobs", "encoding": encoding, "priority": 3})
    assert hand_over("mns.send", told, to_queue(mns), means).verdict == "done"
    with client(mns) as account:
        queue = account.get_queue("changes")
        queue.set_encoding(encoding == "base64")
        message = queue.receive_message(1)
    event = json.loads(message.message_body)
    assert (event["id"], event["data"]["recording"]["key"]) == (ACTION, "课/é.m3u8")
    assert int(message.priority) == 3


@pytest.mark.parametrize("others", [None, (handover(id="act_2", parameters={"to": "jobs", "body": "two"}),)])
def test_a_message_of_mns_bears_the_id_by_which_a_repeat_is_known_whatever_its_body(
    means: Means, mns: MnsStandin, others: tuple[Handover, ...] | None
) -> None:
    told = handover(parameters={"to": "jobs", "body": "one"}, others=others)
    assert hand_over("mns.send", told, to_queue(mns), means).verdict == "done"
    with client(mns) as account:
        properties = account.get_queue("changes").receive_message(1).user_properties
    assert {name: one.string_value for name, one in properties.items()} == {"reelhook-action": told.call_id}


def test_a_change_arrives_in_the_queues_behind_a_topic_of_mns(means: Means, mns: MnsStandin) -> None:
    with client(mns) as account:
        account.get_topic("told").create(TopicMeta())
        meta = SubscriptionMeta("acs:mns:cn-hangzhou:1234567890:queues/changes", notify_content_format="SIMPLIFIED")
        account.get_subscription("told", "behind").subscribe(meta)
    target = MnsTopicDestination(name="t", kind="mns-topic", topic="told", endpoint=mns.endpoint, **MNS)
    outcome = hand_over("mns.publish", handover(parameters={"to": "t", "tag": "new"}), target, means)
    assert outcome.verdict == "done"
    assert json.loads(bodies(mns)[0])["id"] == ACTION


def test_mns_that_says_nothing_leaves_open_whether_the_message_is_there(means: Means, mns: MnsStandin) -> None:
    mns.faults.add("stall", operation="SendMessage", seconds=3)
    outcome = hand_over("mns.send", handover(), to_queue(mns, timeout=400), means)
    assert (outcome.verdict, outcome.is_unclear, len(bodies(mns))) == ("again", True, 1)
    assert hand_over("mns.send", handover(), to_queue(mns), means).verdict == "done"


def test_mns_that_takes_no_connection_was_sent_nothing(means: Means) -> None:
    outcome = hand_over("mns.send", handover(), to_queue("http://127.0.0.1:1"), means)
    assert (outcome.verdict, outcome.is_unclear) == ("again", False)
    assert "refused" in outcome.detail.lower()


def test_a_tls_server_that_never_answers_does_not_hold_mns_send_for_ever(means: Means) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = to_queue(f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=400)
        outcome = hand_over("mns.send", handover(), target, means)
    assert (outcome.verdict, outcome.is_unclear) == ("again", False)


@pytest.mark.parametrize("kind", ["html_502", "empty_504", "throttle", "error"])
def test_mns_that_fails_is_asked_again(means: Means, mns: MnsStandin, kind: str) -> None:
    mns.faults.add(kind)
    outcome = hand_over("mns.send", handover(), to_queue(mns), means)
    assert (outcome.verdict, outcome.is_throttled, bodies(mns)) == ("again", kind == "throttle", [])
    assert hand_over("mns.send", handover(), to_queue(mns), means).verdict == "done"


def test_a_wrong_key_and_a_missing_queue_are_told_with_what_to_mend(means: Means, mns: MnsStandin) -> None:
    wrong = to_queue(mns, name="wrong", secret_access_key=Secret.literal("hush-hush-wrong"))
    outcome = hand_over("mns.send", handover(), wrong, means)
    assert (outcome.verdict, "secret_access_key" in outcome.meaning) == ("again", True)
    assert "hush" not in repr(outcome)
    outcome = hand_over("mns.send", handover(), to_queue(mns, queue="none"), means)
    assert (outcome.code, "create the queue" in outcome.meaning) == ("QueueNotExist", True)
    assert outcome.request_id


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        ("x" * 70_000, "raw", "70000 bytes long"),
        ("x" * 50_000, "base64", "66668 bytes long"),
        ("a\x01b", "raw", "encoding: base64"),
        ("", "raw", "empty"),
    ],
)
def test_what_mns_would_not_take_is_not_sent(means: Means, mns: MnsStandin, body: str, encoding: str, why: str) -> None:
    told = handover(parameters={"to": "jobs", "body": body, "encoding": encoding})
    outcome = hand_over("mns.send", told, to_queue(mns), means)
    assert (outcome.verdict, bodies(mns)) == ("give_up", [])
    assert why in outcome.detail


def test_threads_send_to_mns_at_once_each_over_its_own_connection(means: Means, mns: MnsStandin) -> None:
    verdicts: list[str] = []

    def send() -> None:
        for number in range(10):
            told = handover(
                parameters={"to": "jobs", "body": f"{threading.get_ident()}/{number}", "encoding": "base64"}
            )
            verdicts.append(hand_over("mns.send", told, to_queue(mns), means).verdict)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == ["done"] * 80
    assert len({base64.b64decode(body) for body in bodies(mns)}) == 80


def test_a_rotated_key_is_used_at_the_next_try(means: Means, mns: MnsStandin) -> None:
    keys = iter(["hush-hush-wrong", KEYS["ak"]])
    current = [next(keys)]
    target = to_queue(mns, secret_access_key=Secret("file:key", lambda: current[0]))
    assert hand_over("mns.send", handover(), target, means).verdict == "again"
    current[0] = next(keys)
    assert hand_over("mns.send", handover(), target, means).verdict == "done"


def test_every_kind_of_destination_has_its_operation_and_every_operation_its_kind() -> None:
    kinds = {operation.kind for operation in OPERATIONS.values()}
    known = set(Destination.model_fields["kind"].annotation.__args__)  # type: ignore[union-attr] # it is a Literal
    assert known - kinds == {"s3"}
    assert kinds <= known
    for name, operation in OPERATIONS.items():
        assert name.endswith(f".{operation.name}")
        assert "to" in operation.parameters.model_fields


def test_a_file_of_rules_may_name_every_destination() -> None:
    steps = {
        "http.post": '{to: one, body: {id: "${recording.id}"}, headers: {X-Room: "${recording.room_id}"}}',
        "http.forward": "{to: two}",
        "sqs.send": "{to: three, delay_seconds: 5}",
        "sns.publish": "{to: four, subject: A recording}",
        "mns.send": "{to: five, encoding: raw, priority: 1}",
        "mns.publish": "{to: six, tag: new}",
        "celery.send": '{to: seven, task: lessons.caption, args: ["${recording.id}", 1]}',
        "python.call": "{to: eight, arguments: {size: 320}}",
    }
    assert set(steps) == set(OPERATIONS)
    named = {to.partition("to: ")[2].partition(",")[0].rstrip("}"): name for name, to in steps.items()}
    kinds = {to: OPERATIONS[name].kind for to, name in named.items()}
    known = Known(operations=OPERATIONS, vendors=("aliyun",), destinations=kinds)
    listed = "\n".join(f"      - {name}: {parameters}" for name, parameters in steps.items())
    text = f"rules:\n  - name: every-way\n    when: recording.available\n    do:\n{listed}\n"
    assert problems_of(text, known) == []
    wrong = text.replace("to: three", "to: one")
    assert any("sqs.send needs sqs" in problem for problem in problems_of(wrong, known))
