"""`reelhook standin mns`: an MNS endpoint on this machine until it is interrupted."""

from __future__ import annotations

import signal
import threading

import click

from standin.mns import KINDS, Fault, MnsStandin
from standin.mns.attributes import check_name
from standin.mns.errors import MnsError
from standin.mns.faults import fault


def _faults(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[Fault]:
    return [_fault(value) for value in values]


def _fault(value: str) -> Fault:
    """Read `kind:name=value,name=value`."""
    kind, _, rest = value.partition(":")
    fields = dict(part.partition("=")[::2] for part in rest.split(",") if part)
    try:
        return fault(kind, fields)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: {exc}") from exc


def _names(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(check_name(value) for value in values)
    except MnsError as exc:
        raise click.BadParameter(exc.message) from exc


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=0, show_default=True, type=click.IntRange(0, 65_535), help="0 takes a free port.")
@click.option("--access-key-id", default="standin", show_default=True, help="Who may ask.")
@click.option("--access-key-secret", default="standin-secret", show_default=True, help="What requests are signed with.")
@click.option("--security-token", help="The access key id is a temporary one: its requests have to bring this token.")
@click.option("--queue", "queues", multiple=True, callback=_names, help="A queue to create. May be repeated.")
@click.option("--visibility-timeout", default=30, show_default=True, type=click.IntRange(1, 43_200), help="Seconds.")
@click.option("--seed", type=int, help="Fixes ids and the chances of faults.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    callback=_faults,
    metavar="KIND[:NAME=VALUE,...]",
    help="Something to go wrong, such as drop_reply:operation=BatchReceiveMessage,times=2 (times=always: for good). "
    f"Kinds: {', '.join(KINDS)}. May be repeated.",
)
def command(  # noqa: PLR0913 - one argument for each option
    *,
    host: str,
    port: int,
    access_key_id: str,
    access_key_secret: str,
    security_token: str | None,
    queues: tuple[str, ...],
    visibility_timeout: int,
    seed: int | None,
    faults: list[Fault],
) -> None:
    """Imitate Alibaba's MNS (Simple Message Queue) until interrupted.

    Prints the endpoint. Faults, messages and counters are at /-/faults, /-/messages?queue=NAME and /-/counters.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    mns = MnsStandin(
        access_keys={access_key_id: access_key_secret},
        security_tokens={access_key_id: security_token} if security_token else None,
        host=host,
        port=port,
        seed=seed,
    )
    for name in queues:
        mns.create_queue(name, visibility_timeout=visibility_timeout)
    for one in faults:
        mns.faults.add(one)
    try:
        mns.start()
    except OSError as exc:
        raise click.ClickException(f"can't listen on {host} port {port}: {exc.strerror}; set --host or --port") from exc
    click.echo(mns.endpoint)
    stop.wait()
    mns.stop()
