"""`reelhook standin callbacks ...`: one callback of any kind, or a whole scenario, sent as the vendors send them."""

from __future__ import annotations

import os
import secrets
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from standin.callbacks import aliyun, huawei, live, topic, volcengine
from standin.callbacks.callback import ENCODINGS, VENDORS, Callback, Counterpart
from standin.callbacks.fields import with_fields, without_fields
from standin.callbacks.scenario_command import scenario
from standin.callbacks.sending import HttpSender, QueueSender, SqsSender, curl_line
from standin.callbacks.target import Reelhook, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


_EVENTS: Mapping[str, Sequence[str]] = {
    "volcengine": tuple(volcengine.EVENTS),
    "huawei": tuple(huawei.EVENTS),
    "aliyun": (*aliyun.EVENTS, *live.EVENTS),
}


@click.group(invoke_without_command=True)
@click.option("--list", "as_list", is_flag=True, help="Name every event of every vendor.")
@click.pass_context
def command(context: click.Context, *, as_list: bool) -> None:
    """Send callbacks as a vendor sends them, signed.

    Without options they go to the Reelhook on this machine whose settings the environment holds, such as that of
    `make run`.
    """
    if as_list:
        for vendor, words in _EVENTS.items():
            for word in words:
                click.echo(f"{vendor} {word}")
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all vendors share."""
    for option in reversed(
        (
            click.option(
                "--to",
                metavar="URL",
                help="Where Reelhook is, such as http://127.0.0.1:8000, or any whole URL that takes callbacks."
                "  [default: this machine, at the port of the settings]",
            ),
            click.option("--account", metavar="NAME", help="The account that they are for.  [default: the first]"),
            click.option(
                "--secret",
                metavar="SECRET",
                envvar="STANDIN_SECRET",
                help="What signs them, or the token of an account that can't sign; also STANDIN_SECRET."
                "  [default: that of the settings]",
            ),
            click.option(
                "--set",
                "set_fields",
                metavar="FIELD=VALUE",
                multiple=True,
                help="Give a field of the event this value, before it is signed; RecordFileList.0.Size is a field too.",
            ),
            click.option("--without", metavar="FIELD", multiple=True, help="Leave a field of the event out."),
            click.option(
                "--count", type=click.IntRange(1), default=1, show_default=True, help="Send so many different ones."
            ),
            click.option("--print", "as_curl", is_flag=True, help="Print curl lines that send them, and send nothing."),
            click.option(
                "--sqs-queue",
                metavar="URL",
                help="Send into this SQS queue, headers and token as attributes; its keys are those that AWS_* tell.",
            ),
        )
    ):
        function = option(function)
    return function


@command.command("volcengine")
@click.argument("event", type=click.Choice(_EVENTS["volcengine"]), metavar="EVENT")
@_options
@click.option(
    "--generation",
    type=click.Choice(volcengine.GENERATIONS),
    default=volcengine.GENERATIONS[0],
    show_default=True,
    help="Version of the API that started the task: the older has files in VOD, and TosBucket.",
)
@click.option(
    "--nonce-name",
    type=click.Choice(volcengine.NONCE_NAMES),
    default=volcengine.NONCE_NAMES[0],
    show_default=True,
    help="How the nonce is spelled; older callbacks say Noce.",
)
def _volcengine(event: str, generation: str, nonce_name: str, **options: Any) -> None:  # noqa: ANN401 - click hands over the options by name
    """Send a callback of Volcengine RTC; `reelhook standin callbacks --list` names the events."""

    def make(to: Counterpart, now: int, mark: str) -> Callback:
        data, at = volcengine.sample(event, at=now, mark=mark, generation=generation)
        changed = [one for one in options["set_fields"] if not _is_of_envelope(one)]
        data = without_fields(with_fields(data, changed), options["without"])
        outer = volcengine.envelope(event, data, at=at, event_id=f"evt-{mark}")
        outer = with_fields(outer, [one for one in options["set_fields"] if _is_of_envelope(one)])
        return volcengine.callback(outer, to, nonce=mark[:4], nonce_name=nonce_name)

    _send(options, "volcengine", make)


def _is_of_envelope(setting: str) -> bool:
    return setting.partition("=")[0] in {"EventType", "EventData", "EventTime", "EventId", "Version"}


@command.command("huawei")
@click.argument("event", type=click.Choice(_EVENTS["huawei"]), metavar="EVENT")
@_options
@click.option(
    "--unit",
    type=click.Choice(tuple(huawei.UNITS)),
    default="s",
    show_default=True,
    help="Unit of X-Rtc-Timestamp, which the vendor does not tell.",
)
def _huawei(event: str, unit: str, **options: Any) -> None:  # noqa: ANN401 - click hands over the options by name
    """Send a callback of Huawei Cloud RTC; `reelhook standin callbacks --list` names the events."""

    def make(to: Counterpart, now: int, mark: str) -> Callback:
        told = _changed(huawei.sample(event, at=now, mark=mark), options)
        return huawei.callback(told, to, at=now, rand=mark, unit=unit)

    _send(options, "huawei", make)


@command.command("aliyun")
@click.argument("event", type=click.Choice(_EVENTS["aliyun"]), metavar="EVENT")
@_options
@click.option("--queue", metavar="NAME", help="Send through this MNS queue, one of [queues.NAME] or any other.")
@click.option("--queue-endpoint", metavar="URL", help="Endpoint of a queue that is not in the settings.")
@click.option(
    "--access-key-id", metavar="KEY", envvar="STANDIN_ACCESS_KEY_ID", help="Its access key; also STANDIN_ACCESS_KEY_ID."
)
@click.option(
    "--secret-access-key",
    metavar="SECRET",
    envvar="STANDIN_SECRET_ACCESS_KEY",
    help="The other half of it; also STANDIN_SECRET_ACCESS_KEY.",
)
@click.option(
    "--encoding",
    type=click.Choice(ENCODINGS),
    default=ENCODINGS[0],
    show_default=True,
    help="How the message stands in the queue, or is pushed: topic and topic-xml are the envelopes of a topic.",
)
@click.option(
    "--topic",
    "topic_folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Push it as a topic of MNS does, signed with the key in this folder, which is made there unless it is there.",
)
@click.option(
    "--certificate-url",
    metavar="URL",
    default=topic.CERTIFICATE_URL,
    help="Where a push says that its certificate lies.  [default: where the vendor's own does]",
)
@click.option(
    "--notify-auth-key",
    metavar="KEY",
    envvar="STANDIN_NOTIFY_AUTH_KEY",
    help="What signs the words of Live; also STANDIN_NOTIFY_AUTH_KEY.  [default: that of the settings]",
)
def _aliyun(event: str, encoding: str, **options: Any) -> None:  # noqa: ANN401 - click hands over the options by name
    """Send a callback of Alibaba Cloud RTC or of ApsaraVideo Live, by HTTP, through a queue, or from a topic."""
    ways = [f"--{name}" for name in ("queue", "sqs-queue", "topic") if options[_WAYS[name]]]
    if event in live.EVENTS and {"--queue", "--topic"} & {*ways}:
        raise click.UsageError(f"{event} is a word of Live, which calls back by HTTP alone")
    signer = None
    if options["topic_folder"]:
        signer = topic.Signer(options["topic_folder"], url=options["certificate_url"])
        options["finish"] = lambda callback, target: signer.push(
            callback, target, encoding=encoding, at=time.time_ns() // 1_000_000
        )

    def make(to: Counterpart, now: int, mark: str) -> Callback:
        if event in live.EVENTS:
            key = options["notify_auth_key"]
            to = to if key is None else replace(to, secret=key)
            return live.callback(_changed(live.sample(event, at=now), options), to, at=now)
        told = _changed(aliyun.sample(event, at=now, mark=mark), options)
        if options["queue"] or signer is not None:
            message = aliyun.message(told, to, encoding=encoding, at=now)
            return message if signer is None else replace(message, door="mns-topic")
        return aliyun.callback(told, to)

    _send(options, "aliyun", make)


#: how a callback may leave otherwise than by HTTP -> the option that says so
_WAYS: Mapping[str, str] = {"queue": "queue", "sqs-queue": "sqs_queue", "topic": "topic_folder"}


def _changed(told: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    return without_fields(with_fields(told, options["set_fields"]), options["without"])


def _send(options: Mapping[str, Any], vendor: str, make: Callable[[Counterpart, int, str], Callback]) -> None:
    """Send or print what was asked for; end the process with 1 where an answer is not 200."""
    _check_ways(options)
    reelhook = Reelhook(os.environ, options["to"])
    if options.get("queue"):
        place = reelhook.queue(
            options["queue"], options["queue_endpoint"], options["access_key_id"], options["secret_access_key"]
        )
        known = Counterpart(vendor="aliyun", account="")
        _send_through_queue(QueueSender(place), place.queue, _made(options["count"], known, make))
        return
    target = reelhook.target(vendor, account=options["account"], secret=options["secret"])
    finish = options.get("finish", _as_it_is)
    made = (
        (finish(one, target.other or one.target), target.other or one.target)
        for one in _made(options["count"], target.counterpart, make)
    )
    if options["sqs_queue"]:
        _send_through_queue(SqsSender(options["sqs_queue"]), options["sqs_queue"], (one for one, _ in made))
    elif options["as_curl"]:
        for callback, path in made:
            click.echo(curl_line(target.url + path, callback))
    else:
        _send_by_http(options["count"], target, made)


def _check_ways(options: Mapping[str, Any]) -> None:
    ways = [f"--{name}" for name, option in _WAYS.items() if options.get(option)]
    if len(ways) > 1:
        raise click.UsageError(f"{ways[0]} and {ways[1]} exclude each other: a callback leaves by one way")
    if ways and ways != ["--topic"] and options["as_curl"]:
        raise click.UsageError(
            f"--print and {ways[0]} exclude each other: a queue's requests are signed anew each time"
        )


def _as_it_is(callback: Callback, _target: str) -> Callback:
    return callback


def _made(count: int, to: Counterpart, make: Callable[[Counterpart, int, str], Callback]) -> Iterator[Callback]:
    for _ in range(count):
        now = time.time_ns() // 1_000_000
        yield make(to, now, secrets.token_hex(8))


def _send_by_http(count: int, target: Target, made: Iterable[tuple[Callback, str]]) -> None:
    failed = 0
    with closing(HttpSender(target.url)) as sender:
        for callback, path in made:
            answer = sender.post(path, callback)
            click.echo(f"{callback.vendor} {callback.word}: {answer.status} {answer.body}")
            failed += not answer.is_success
    if failed:
        click.echo(f"{failed} of {count} were not answered with 200, the only success for a vendor", err=True)
        sys.exit(1)


def _send_through_queue(sender: QueueSender | SqsSender, name: str, made: Iterable[Callback]) -> None:
    with closing(sender):
        for callback in made:
            answer = sender.send(callback)
            click.echo(f"{callback.vendor} {callback.word} into queue {name}: {answer.body}")


command.add_command(scenario)
assert set(_EVENTS) == set(VENDORS)  # noqa: S101 - a vendor without its events is a bug of ours
