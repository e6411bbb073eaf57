"""Decides what a person reads when Reelhook starts: where it listens, what to paste where, how to try it."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.settings import callback_url
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.settings import Account, Settings

#: what the references of secrets that we made ourselves begin with
_GENERATED = "secrets.json:"


def start_lines(settings: Settings, *, host: str) -> Iterator[str]:
    """Return what `serve` prints before it starts; secrets only if this very start made them."""
    local = local_url(settings, host)
    also = ", and on every other address of this machine," if host in {"0.0.0.0", "::"} else ""  # noqa: S104 (compared)
    yield f"Reelhook starts, and will listen on {local}{also} in a moment."
    yield f"Data in {settings.data}, database {settings.shown_database_url}."
    yield _rules_line(settings)
    yield ""
    if settings.generated:
        yield "This first start made these secrets; they are shown once, and by `reelhook accounts`:"
        yield ""
        yield from account_lines(settings, local)
    else:
        yield f"Callback URLs to paste into the vendors' consoles, and a callback to try: {_program()} accounts"
    yield ""
    yield "Look at what came in:"
    yield f"  {_program()} recordings list"
    token = _generated_token(settings) if settings.generated else None
    yield f"  curl -H 'Authorization: Bearer {token or 'YOUR-API-TOKEN'}' {local}/api/v1/recordings"
    yield f"The API is explained at {local}/docs. Ctrl-C stops everything."
    yield ""


def _rules_line(settings: Settings) -> str:
    """Return where the rules stand; reading them takes memory, which is left to those that go by them."""
    if settings.rules.exists():
        return f"Rules in {settings.rules}; which are in force: {_program()} rules list"
    return f"No rules yet; they would stand in {settings.rules}, see docs/rules.md."


def account_lines(settings: Settings, local: str | None = None) -> Iterator[str]:
    """Return the callback URLs, what to set at the vendors, and a callback to try, with the secrets in them."""
    for account in settings.accounts.values():
        yield f"{account.vendor}, account {account.name}"
        if account.vendor not in VENDORS:
            yield "  (this version has no door for this vendor yet; its settings are checked already)"
        yield f"  callback URL  {callback_url(settings, account)}"
        if account.topic_owner is not None:
            yield f"  of a topic    {callback_url(settings, account, 'mns-topic')}"
        for secret in account.callback_secrets:
            yield f"  signing key   {secret.reveal()}"
    token = _generated_token(settings)
    if token:
        yield "API"
        yield f"  token         {token}"
    yield from _sample_lines(settings, local or local_url(settings, "127.0.0.1"))


def _program() -> str:
    """Return how `reelhook` is typed here: by its path where the environment that holds it is not active."""
    beside = Path(sys.executable).with_name("reelhook")
    if shutil.which("reelhook") is not None or not beside.exists():
        return "reelhook"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def local_url(settings: Settings, host: str) -> str:
    """Return where this machine itself reaches the server."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 (compared)
    return f"http://{name}:{settings.port}"


def _sample_lines(settings: Settings, local: str) -> Iterator[str]:
    for account in settings.accounts.values():
        vendor = VENDORS.get(account.vendor)
        if vendor is not None and vendor.sample is not None and account.url_tokens:
            sample = vendor.sample
            yield ""
            yield "Try it, with the callback that the vendor's documentation shows:"
            yield f"  curl -d {shlex.quote(sample.decode())} {shlex.quote(_local_callback(settings, account, local))}"
            return


def _local_callback(settings: Settings, account: Account, local: str) -> str:
    return local + callback_url(settings, account).removeprefix(settings.public_url)


def _generated_token(settings: Settings) -> str | None:
    """Return the API token that we made ourselves, if it is in use."""
    made = [token for token in settings.api_tokens if token.reference.startswith(_GENERATED)]
    return made[0].reveal() if made else None
