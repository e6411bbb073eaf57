"""`reelhook standin openapi VENDOR`: one vendor's OpenAPI on loopback, until it is interrupted."""

from __future__ import annotations

import signal
import threading

import click

from standin.openapi.api import VENDORS, OpenApiStandin
from standin.openapi.credentials import Credential
from standin.openapi.faults import Fault, read_fault


class _FaultText(click.ParamType[Fault]):
    name = "KIND[:NAME=VALUE,...]"

    def convert(self, value: Fault | str, param: click.Parameter | None, ctx: click.Context | None) -> Fault:
        if isinstance(value, Fault):
            return value
        try:
            return read_fault(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class _LimitText(click.ParamType[tuple[str, int | None]]):
    name = "ACTION=CALLS"

    def convert(
        self, value: tuple[str, int | None] | str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int | None]:
        if isinstance(value, tuple):
            return value
        action, equals, calls = value.partition("=")
        if not equals or not (calls == "none" or (calls.isdigit() and int(calls))):
            self.fail(f"{value!r} is no limit; expected ACTION=CALLS per second, or ACTION=none", param, ctx)
        return action, None if calls == "none" else int(calls)


@click.command()
@click.argument("vendor", type=click.Choice(list(VENDORS)))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--access-key-id", required=True, help="The access key that may call.")
@click.option("--secret-access-key", required=True, help="Its secret; made up, for nothing leaves this machine.")
@click.option("--security-token", help="Its token, for a temporary key.")
@click.option("--shape", help="Which of the vendor's forms of an answer to give; see docs/standin-openapi.md.")
@click.option("--limit", "limits", type=_LimitText(), multiple=True, help="A limit; none lifts it. Repeatable.")
@click.option("--fault", "faults", type=_FaultText(), multiple=True, help="What goes wrong, in order. Repeatable.")
def command(  # noqa: PLR0913 - one parameter per option
    *,
    vendor: str,
    host: str,
    port: int,
    access_key_id: str,
    secret_access_key: str,
    security_token: str | None,
    shape: str | None,
    limits: tuple[tuple[str, int | None], ...],
    faults: tuple[Fault, ...],
) -> None:
    """Imitate a vendor's OpenAPI; /-/calls, /-/tasks and /-/faults show and set what is going on."""
    credential = Credential(secret=secret_access_key, security_token=security_token)
    try:
        api = OpenApiStandin(
            vendor=vendor,
            credentials={access_key_id: credential},
            limits=dict(limits),
            shape=shape,
            host=host,
            port=port,
        )
        api.start()
    except (ValueError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc
    for fault in faults:
        api.faults.add(fault)
    click.echo(f"{vendor} on {api.endpoint}")
    _wait_to_be_stopped()
    api.close()


def _wait_to_be_stopped() -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
