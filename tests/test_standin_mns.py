"""The MNS stand-in, judged by the vendor's own client: every operation, every error it can bring about."""

from __future__ import annotations

import hashlib
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from mns.account import Account
from mns.mns_common import RequestInfo
from mns.mns_exception import MNSServerException
from mns.queue import Message, QueueMeta
from mns_client import KEYS, HandClock, client, refusal

from standin.mns import MnsStandin

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = '{"Event":"FileCreated","Url":"http://b.example/a.mp4?x=1&y=<2>","Name":"课堂 1"}'


@pytest.fixture
def clock() -> HandClock:
    return HandClock(time.time_ns() // 1_000_000)


@pytest.fixture
def mns(clock: HandClock) -> Iterator[MnsStandin]:
    with MnsStandin(access_keys=KEYS, clock=clock, seed=1) as standin:
        standin.create_queue("recordings", visibility_timeout=30)
        yield standin


@pytest.fixture
def account(mns: MnsStandin) -> Iterator[Any]:
    with client(mns) as account:
        yield account


@pytest.fixture
def queue(account: Any) -> Any:
    """Return the queue with base64 off, as the body stands on the wire."""
    queue = account.get_queue("recordings")
    queue.set_encoding(False)
    return queue


def attributes(queue: Any) -> Any:
    """Ask for the attributes; the client warns of three that are to be retired."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        shown = queue.get_attributes()
        shown.counts = (shown.active_messages, shown.inactive_messages, shown.delay_messages)
        return shown


# --- sending and receiving --------------------------------------------------------------------------------------------
def test_a_message_comes_out_as_it_went_in(queue: Any, clock: HandClock) -> None:
    sent = queue.send_message(Message(BODY, priority=3))
    received = queue.receive_message(0)
    assert received.message_body == BODY
    assert (received.message_id, received.message_body_md5) == (sent.message_id, sent.message_body_md5)
    assert received.message_body_md5 == hashlib.md5(BODY.encode(), usedforsecurity=False).hexdigest().upper()
    assert (received.priority, received.dequeue_count) == (3, 1)
    assert received.enqueue_time == received.first_dequeue_time == clock()
    assert received.next_visible_time == clock() + 30_000


def test_line_ends_and_blanks_survive(queue: Any) -> None:
    queue.send_message(Message(" a\r\nb\n\tc "))
    assert queue.receive_message(0).message_body.replace("\r\n", "\n") == " a\nb\n\tc "


def test_base64_is_the_clients_matter(account: Any, mns: MnsStandin) -> None:
    queue = account.get_queue("recordings")  # encoding is on by default
    queue.send_message(Message("abc"))
    assert [one.body for one in mns.messages("recordings")] == ["YWJj"]
    assert queue.receive_message(0).message_body == b"abc"


def test_batches_go_in_and_out_together(queue: Any, mns: MnsStandin) -> None:
    sent = queue.batch_send_message([Message(f"n{number}") for number in range(16)])
    assert len({one.message_id for one in sent}) == 16
    received = queue.batch_receive_message(16, 0)
    assert [one.message_body for one in received] == [f"n{number}" for number in range(16)]
    queue.batch_delete_message([one.receipt_handle for one in received])
    assert mns.messages("recordings") == []


def test_a_higher_priority_goes_first_then_the_older(queue: Any) -> None:
    for body, priority in (("c", 8), ("b", 2), ("d", 8), ("a", 1)):
        queue.send_message(Message(body, priority=priority))
    assert [one.message_body for one in queue.batch_receive_message(4, 0)] == ["a", "b", "c", "d"]


def test_properties_and_group_come_along(queue: Any) -> None:
    from mns.message_property import MessagePropertyValue, PropertyType  # noqa: PLC0415 - only this test needs them

    message = Message("x")
    message.set_message_group_id("g1")
    message.user_properties = {"k&": MessagePropertyValue(PropertyType.STRING, "v<")}
    queue.send_message(message)
    received = queue.receive_message(0)
    assert received.message_group_id == "g1"
    assert {name: value.string_value for name, value in received.user_properties.items()} == {"k&": "v<"}


def test_an_empty_queue_is_message_not_exist(queue: Any) -> None:
    for call in (lambda: queue.receive_message(0), lambda: queue.batch_receive_message(16, 0)):
        assert refusal(call).type == "MessageNotExist"
    assert refusal(queue.peek_message).type == refusal(queue.batch_peek_message, 16).type == "MessageNotExist"


def test_peeking_shows_without_taking(queue: Any) -> None:
    queue.batch_send_message([Message("a"), Message("b")])
    assert queue.peek_message().message_body == "a"
    assert [one.message_body for one in queue.batch_peek_message(16)] == ["a", "b"]
    received = queue.batch_receive_message(16, 0)
    assert [one.dequeue_count for one in received] == [1, 1]
    assert refusal(queue.peek_message).type == "MessageNotExist"


# --- time -------------------------------------------------------------------------------------------------------------
def test_a_message_that_is_not_deleted_comes_again(queue: Any, clock: HandClock) -> None:
    queue.send_message(Message("a"))
    first = queue.receive_message(0)
    clock.let_pass(29.999)
    assert refusal(queue.receive_message, 0).type == "MessageNotExist"
    clock.let_pass(0.001)
    again = queue.receive_message(0)
    assert (again.dequeue_count, again.first_dequeue_time) == (2, first.first_dequeue_time)
    assert again.receipt_handle != first.receipt_handle
    assert refusal(queue.delete_message, first.receipt_handle).type == "MessageNotExist"
    queue.delete_message(again.receipt_handle)


def test_a_handle_dies_when_its_message_is_visible_again(queue: Any, clock: HandClock) -> None:
    queue.send_message(Message("a"))
    handle = queue.receive_message(0).receipt_handle
    clock.let_pass(30)
    assert refusal(queue.delete_message, handle).type == "MessageNotExist"
    assert refusal(queue.change_message_visibility, handle, 60).type == "MessageNotExist"


def test_changing_visibility_gives_a_new_handle_and_kills_the_old(queue: Any, clock: HandClock) -> None:
    queue.send_message(Message("a"))
    old = queue.receive_message(0).receipt_handle
    changed = queue.change_message_visibility(old, 100)
    assert int(changed.next_visible_time) == clock() + 100_000
    assert refusal(queue.delete_message, old).type == "MessageNotExist"
    clock.let_pass(99)
    queue.delete_message(changed.receipt_handle)


def test_a_delayed_message_waits_and_can_be_deleted_before(queue: Any, clock: HandClock) -> None:
    queue.send_message(Message("a", delay_seconds=10))
    doomed = queue.send_message(Message("b", delay_seconds=10))
    queue.delete_message(doomed.receipt_handle)
    assert refusal(queue.receive_message, 0).type == "MessageNotExist"
    clock.let_pass(10)
    assert [one.message_body for one in queue.batch_receive_message(16, 0)] == ["a"]


def test_what_is_too_old_is_gone_without_a_word(queue: Any, mns: MnsStandin, clock: HandClock) -> None:
    queue.set_attributes(QueueMeta(msg_ttl=60))
    queue.send_message(Message("a"))
    clock.let_pass(60)
    assert refusal(queue.receive_message, 0).type == "MessageNotExist"
    assert mns.counters()["queues"]["recordings"]["expired"] == 1


def test_a_long_poll_wakes_when_a_message_arrives(queue: Any, mns: MnsStandin) -> None:
    started = time.monotonic()
    timer = threading.Timer(0.3, mns.send, ("recordings", "a"))
    timer.start()
    assert queue.receive_message(30).message_body == "a"
    timer.join()
    assert time.monotonic() - started < 20  # it did not wait to the end


def test_a_long_poll_wakes_when_a_hidden_message_is_visible_again() -> None:
    with MnsStandin(access_keys=KEYS) as mns:
        mns.create_queue("recordings", visibility_timeout=1)
        mns.send("recordings", "a")
        with client(mns) as account:
            queue = account.get_queue("recordings")
            queue.set_encoding(False)
            assert queue.receive_message(0).dequeue_count == 1
            assert queue.receive_message(30).dequeue_count == 2


def test_a_long_poll_looks_again_when_the_clock_is_moved(queue: Any, mns: MnsStandin, clock: HandClock) -> None:
    queue.send_message(Message("a", delay_seconds=3600))

    def an_hour_passes() -> None:
        clock.let_pass(3600)
        mns.tick()

    timer = threading.Timer(0.2, an_hour_passes)
    timer.start()
    assert queue.receive_message(30).message_body == "a"
    timer.join()


def test_a_poll_without_waitseconds_waits_as_the_queue_says(queue: Any, mns: MnsStandin) -> None:
    queue.set_attributes(QueueMeta(polling_wait_sec=30))
    timer = threading.Timer(0.3, mns.send, ("recordings", "a"))
    timer.start()
    assert queue.receive_message().message_body == "a"
    timer.join()


def test_a_poll_over_the_cap_is_answered_at_once(clock: HandClock) -> None:
    with MnsStandin(access_keys=KEYS, clock=clock, most_waiting=0) as mns:
        mns.create_queue("recordings")
        with client(mns) as account:
            started = time.monotonic()
            assert refusal(account.get_queue("recordings").receive_message, 30).type == "MessageNotExist"
            assert time.monotonic() - started < 20


def test_many_consumers_share_a_queue_and_nobody_gets_anothers_message() -> None:
    with MnsStandin(access_keys=KEYS) as mns:
        mns.create_queue("recordings", visibility_timeout=600)
        sent = mns.send_all("recordings", [f"n{number}" for number in range(400)])
        got: list[list[str]] = [[] for _ in range(8)]

        def consume(mine: list[str]) -> None:
            with client(mns) as account:
                queue = account.get_queue("recordings")
                queue.set_encoding(False)
                while True:
                    try:
                        messages = queue.batch_receive_message(7, 0)
                    except MNSServerException:
                        return
                    mine += [one.message_id for one in messages]
                    queue.batch_delete_message([one.receipt_handle for one in messages])

        threads = [threading.Thread(target=consume, args=(mine,)) for mine in got]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(one for mine in got for one in mine) == sorted(sent)
        assert mns.messages("recordings") == []


# --- refusals of messages ---------------------------------------------------------------------------------------------
def test_a_deleted_message_can_not_be_deleted_again(queue: Any) -> None:
    queue.send_message(Message("a"))
    handle = queue.receive_message(0).receipt_handle
    queue.delete_message(handle)
    assert refusal(queue.delete_message, handle).type == "MessageNotExist"


def test_what_was_never_a_handle_is_a_receipt_handle_error(queue: Any) -> None:
    for handle in ("nonsense", "8-bm90IG9uZQ==", "8-%%%"):
        assert refusal(queue.delete_message, handle).type == "ReceiptHandleError"
    assert refusal(queue.change_message_visibility, "nonsense", 30).type == "ReceiptHandleError"


def test_a_batch_delete_names_what_it_could_not_delete_and_deletes_the_rest(queue: Any, mns: MnsStandin) -> None:
    queue.batch_send_message([Message("a"), Message("b")])
    handles = [one.receipt_handle for one in queue.batch_receive_message(16, 0)]
    error = refusal(queue.batch_delete_message, [handles[0], "nonsense", handles[1], handles[1]])
    assert error.type == "ReceiptHandleError"
    assert [(one["ErrorCode"], one["ReceiptHandle"]) for one in error.sub_errors] == [
        ("ReceiptHandleError", "nonsense"),
        ("MessageNotExist", handles[1]),
    ]
    assert mns.messages("recordings") == []


def test_a_batch_send_names_what_it_refused_and_takes_the_rest(queue: Any, mns: MnsStandin) -> None:
    error = refusal(queue.batch_send_message, [Message("a"), Message("b", priority=17), Message("c")])
    assert error.type == "InvalidArgument"
    assert ["ErrorCode" in one for one in error.sub_errors] == [False, True, False]
    assert [one.body for one in mns.messages("recordings")] == ["a", "c"]
    assert {one["MessageId"] for one in error.sub_errors if "MessageId" in one} == {
        one.message_id for one in mns.messages("recordings")
    }


def test_limits_are_the_vendors(queue: Any, mns: MnsStandin) -> None:
    too_many = [Message("a")] * 17
    for call, arguments in (
        (queue.send_message, (Message("a" * 65_537),)),
        (queue.send_message, (Message("a", delay_seconds=604_801),)),
        (queue.send_message, (Message("a", priority=17),)),
        (queue.send_message, (Message("a", priority=0),)),
        (queue.batch_send_message, (too_many,)),
        (queue.batch_send_message, ([],)),
        (queue.batch_send_message, ([Message("a" * 40_000)] * 2,)),
        (queue.batch_receive_message, (17, 0)),
        (queue.batch_receive_message, (0, 0)),
        (queue.batch_receive_message, (16, 31)),
        (queue.receive_message, (31,)),
        (queue.batch_peek_message, (17,)),
        (queue.batch_delete_message, (["x"] * 17,)),
        (queue.batch_delete_message, ([],)),
    ):
        assert refusal(call, *arguments).type == "InvalidArgument", arguments
    queue.send_message(Message("a" * 65_536))
    handle = queue.receive_message(0).receipt_handle
    assert refusal(queue.change_message_visibility, handle, 0).type == "InvalidArgument"
    assert [one.state for one in mns.messages("recordings")] == ["inactive"]


def test_a_body_is_measured_by_the_queues_own_limit(queue: Any) -> None:
    queue.set_attributes(QueueMeta(max_msg_size=1024))
    queue.send_message(Message("a" * 1024))
    assert refusal(queue.send_message, Message("课" * 342)).type == "InvalidArgument"


# --- queues -----------------------------------------------------------------------------------------------------------
def test_creating_a_queue_is_201_then_204_then_409(account: Any, mns: MnsStandin) -> None:
    queue = account.get_queue("more")
    assert queue.create(QueueMeta(vis_timeout=60)) == f"{mns.endpoint}/queues/more"
    assert queue.create(QueueMeta(vis_timeout=60)) == f"{mns.endpoint}/queues/more"
    assert refusal(queue.create, QueueMeta(vis_timeout=61)).type == "QueueAlreadyExist"


def test_attributes_are_shown_and_changed(queue: Any, mns: MnsStandin) -> None:
    mns.send_all("recordings", ["a", "b"])
    mns.send("recordings", "c", delay_seconds=9)
    queue.receive_message(0)
    queue.set_attributes(QueueMeta(vis_timeout=77, logging_enabled=True))
    shown = attributes(queue)
    assert (shown.visibility_timeout, shown.logging_enabled, shown.queue_name) == (77, True, "recordings")
    assert (shown.maximum_message_size, shown.message_retention_period) == (65_536, 345_600)
    assert shown.counts == (1, 1, 1)


def test_attributes_out_of_range_are_refused(queue: Any) -> None:
    for meta in (
        QueueMeta(vis_timeout=43_201),
        QueueMeta(msg_ttl=59),
        QueueMeta(max_msg_size=1023),
        QueueMeta(delay_sec=604_801),
        QueueMeta(polling_wait_sec=31),
    ):
        assert refusal(queue.set_attributes, meta).type == "InvalidArgument"


def test_a_queue_that_is_not_there_says_so_in_its_code(account: Any) -> None:
    gone = account.get_queue("gone")
    for call, arguments in (
        (gone.send_message, (Message("a"),)),
        (gone.batch_receive_message, (16, 0)),
        (gone.delete_message, ("x",)),
        (gone.batch_delete_message, (["x"],)),
        (gone.change_message_visibility, ("x", 30)),
        (gone.peek_message, ()),
        (gone.set_attributes, (QueueMeta(vis_timeout=60),)),
        (attributes, (gone,)),
    ):
        assert refusal(call, *arguments).type == "QueueNotExist"


def test_a_deleted_queue_ends_its_polls(account: Any, queue: Any, mns: MnsStandin) -> None:
    def delete() -> None:
        with client(mns) as other:
            other.get_queue("recordings").delete()

    timer = threading.Timer(0.3, delete)
    timer.start()
    assert refusal(queue.receive_message, 30).type == "QueueNotExist"
    timer.join()
    assert account.list_queue() == ([], "")


def test_names_are_checked(account: Any) -> None:
    assert refusal(account.get_queue("q" * 121).create, QueueMeta()).type == "QueueNameLengthError"
    assert refusal(account.get_queue("a_b").create, QueueMeta()).type == "InvalidQueueName"
    assert account.get_queue("q" * 120).create(QueueMeta()).endswith("q" * 120)


def test_queues_are_listed_by_prefix_and_page(account: Any, mns: MnsStandin) -> None:
    for name in ("a-1", "a-2", "a-3", "b-1"):
        mns.create_queue(name)
    first, marker = account.list_queue(prefix="a-", ret_number=2)
    rest, end = account.list_queue(prefix="a-", ret_number=2, marker=marker)
    assert [one.rpartition("/")[2] for one in first + rest] == ["a-1", "a-2", "a-3"]
    assert end == ""


def test_the_account_has_its_attributes(account: Any) -> None:
    from mns.account import AccountMeta  # noqa: PLC0415 - only this test needs it

    account.set_attributes(AccountMeta(logging_bucket="logs"))
    assert account.get_attributes().logging_bucket == "logs"
    account.open_service()


# --- who asks ---------------------------------------------------------------------------------------------------------
def test_a_wrong_secret_is_refused(mns: MnsStandin) -> None:
    with client(mns, secret="another") as account:
        assert refusal(account.get_queue("recordings").receive_message, 0).type == "SignatureDoesNotMatch"


def test_an_unknown_key_is_refused(mns: MnsStandin) -> None:
    with client(mns, key_id="nobody") as account:
        assert refusal(account.get_queue("recordings").receive_message, 0).type == "InvalidAccessKeyId"


def test_a_temporary_key_needs_its_token() -> None:
    with MnsStandin(access_keys=KEYS, security_tokens={"ak": "the-token"}) as mns:
        mns.create_queue("recordings")
        for token, expected in (("", "AccessDenied"), ("another", "AccessDenied"), ("the-token", "MessageNotExist")):
            with client(mns, token=token) as account:
                assert refusal(account.get_queue("recordings").receive_message, 0).type == expected


def test_a_clock_that_is_off_is_refused(queue: Any, clock: HandClock) -> None:
    clock.let_pass(15 * 60 - 5)
    assert refusal(queue.receive_message, 0).type == "MessageNotExist"
    clock.let_pass(10)
    assert refusal(queue.receive_message, 0).type == "TimeExpired"
    clock.let_pass(-31 * 60)
    assert refusal(queue.receive_message, 0).type == "TimeExpired"


def test_headers_of_the_caller_are_signed(queue: Any) -> None:
    assert refusal(queue.receive_message, 0, RequestInfo("my-own-id")).type == "MessageNotExist"


# --- running ----------------------------------------------------------------------------------------------------------
def test_stopping_ends_long_polls_at_once_and_a_restart_keeps_port_and_messages(mns: MnsStandin, account: Any) -> None:
    mns.send("recordings", "a", delay_seconds=600)
    queue = account.get_queue("recordings")

    def poll() -> None:
        with suppress(Exception):  # whatever the client makes of a lost server
            queue.receive_message(30)

    polling = threading.Thread(target=poll)
    polling.start()
    while not mns.counters()["queues"]["recordings"]["waiting_polls"]:
        time.sleep(0.01)
    started, endpoint = time.monotonic(), mns.endpoint
    mns.stop()
    assert time.monotonic() - started < 10
    polling.join()
    mns.start()
    assert mns.endpoint == endpoint
    assert refusal(queue.receive_message, 0).type == "MessageNotExist"
    assert [one.body for one in mns.messages("recordings")] == ["a"]


def test_a_caller_who_hung_up_takes_no_message(mns: MnsStandin, queue: Any) -> None:
    dead: Any = Account(mns.endpoint, "ak", KEYS["ak"])
    dead.mns_client.set_connection_timeout(0.3)
    with pytest.raises(Exception, match="timed out"):
        dead.get_queue("recordings").receive_message(30)
    queue.send_message(Message("a"))
    assert queue.receive_message(10).dequeue_count == 1
