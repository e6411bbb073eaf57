"""Where callbacks go, and with which secret: as the command line says, else as Reelhook's settings say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import click

from standin.callbacks.callback import Counterpart
from standin.callbacks.sending import QueuePlace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.settings import Account, Settings

#: the account that each vendor has as long as none is configured
_DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A place that takes callbacks."""

    #: scheme://host:port
    url: str
    counterpart: Counterpart
    #: path and query, where they are not those of Reelhook's callback URLs
    other: str | None = field(default=None, repr=False)


class Reelhook:
    """What is known of the Reelhook that is meant, its settings read only where something is asked of them."""

    def __init__(self, environ: Mapping[str, str], to: str | None) -> None:
        """Take the environment, which the settings are read from, and the address that was given, if any."""
        self._environ = environ
        self._to = to
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The settings; raises SettingsError with every mistake."""
        if self._settings is None:
            from handlers.settings import load  # noqa: PLC0415 - only where nothing else tells
            from handlers.vendors import VENDORS  # noqa: PLC0415 - as above

            self._settings = load(self._environ, vendors=tuple(VENDORS), create=False)
        return self._settings

    @property
    def url(self) -> str:
        """Where Reelhook listens on this machine, unless it was told."""
        if self._to is not None:
            parts = urlsplit(self._to)
            return f"{parts.scheme}://{parts.netloc}"
        return f"http://127.0.0.1:{self.settings.port}"

    def target(self, vendor: str, *, account: str | None, secret: str | None) -> Target:
        """Return where callbacks of the vendor go; raise click.UsageError where no secret is known."""
        parts = urlsplit(self._to or "")
        if parts.path.strip("/"):
            return self._whole_url(vendor, account, secret)
        return Target(url=self.url, counterpart=self._counterpart(vendor, account, secret))

    def _whole_url(self, vendor: str, account: str | None, secret: str | None) -> Target:
        """Take a whole callback URL at its word; only a signing secret may be missing."""
        parts = urlsplit(self._to or "")
        words = parts.path.strip("/").split("/")
        named = words[2] if words[:2] == ["callbacks", vendor] and len(words) > 2 else _DEFAULT
        token = parse_qs(parts.query).get("token", [None])[0]
        known = Counterpart(vendor=vendor, account=account or named, secret=secret or "", token=token)
        if vendor != "aliyun" and secret is None and token is None:
            known = self._counterpart(vendor, account or named, None)
        other = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return Target(url=self.url, counterpart=known, other=other)

    def _counterpart(self, vendor: str, account: str | None, secret: str | None) -> Counterpart:
        if secret is not None:
            if vendor == "aliyun":
                return Counterpart(vendor=vendor, account=account or _DEFAULT, token=secret)
            return Counterpart(vendor=vendor, account=account or _DEFAULT, secret=secret)
        return counterpart_of(self._account(vendor, account))

    def _account(self, vendor: str, name: str | None) -> Account:
        known = {one.name: one for (of, _), one in self.settings.accounts.items() if of == vendor}
        if name in known:
            return known[name]
        if name is None and known:
            return known[_DEFAULT] if _DEFAULT in known else next(iter(known.values()))
        asked = f"account {name} of {vendor}" if name else f"account of {vendor}"
        have = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise click.UsageError(
            f"the settings that this command reads have no {asked} ({have}); "
            "give --to with --account and --secret, or run it with the environment of the Reelhook that you mean"
        )

    def queue(self, name: str, endpoint: str | None, key: str | None, secret: str | None) -> QueuePlace:
        """Return the queue: as it was given whole, else as [queues.NAME] says; raise click.UsageError otherwise."""
        if endpoint is not None:
            if not key or not secret:
                raise click.UsageError("--queue-endpoint needs --access-key-id and --secret-access-key")
            return QueuePlace(endpoint=endpoint, queue=name, access_key_id=key, secret_access_key=secret)
        queues = self.settings.queues
        found = queues.get(name) or next((one for one in queues.values() if one.queue == name), None)
        if found is None or found.kind != "mns" or found.endpoint is None:
            raise click.UsageError(
                f"the settings have no MNS queue {name}; give --queue-endpoint, --access-key-id and --secret-access-key"
            )
        keys = [one.reveal() if one else "" for one in (found.access_key_id, found.secret_access_key)]
        return QueuePlace(endpoint=found.endpoint, queue=found.queue, access_key_id=keys[0], secret_access_key=keys[1])

    def api_token(self, given: str | None) -> str:
        """Return the token of the API; raise click.UsageError where none is known."""
        if given:
            return given
        if not self.settings.api_tokens:
            raise click.UsageError("no API token is known: give --api-token, or run it with Reelhook's own environment")
        return self.settings.api_tokens[0].reveal()


def counterpart_of(account: Account) -> Counterpart:
    """Return a configured account as its vendor knows it; raise click.UsageError where it has no secret yet."""
    secret = account.callback_secrets[0].reveal() if account.callback_secrets else ""
    token = account.url_tokens[0].reveal() if account.url_tokens else None
    if not secret and token is None:
        raise click.UsageError(
            f"account {account.name} of {account.vendor} has no secret yet: Reelhook makes it at its first start; "
            "start it, or give --secret"
        )
    known = Counterpart(vendor=account.vendor, account=account.name, secret=secret, token=token)
    if account.topic_owner is None or account.topic_name is None:
        return known
    return replace(known, topic_owner=account.topic_owner, topic_name=account.topic_name)
