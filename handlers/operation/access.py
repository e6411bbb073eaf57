"""With which key, and under which host's name, an account's calls are signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from handlers.errors import SettingsError

if TYPE_CHECKING:
    from handlers.settings import Account

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Access:
    """An access key, revealed."""

    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    #: of a temporary key
    token: str | None = field(default=None, repr=False)


def access_of(account: Account) -> Access:
    """Return the account's key as it is at this moment; raise SettingsError, naming the keys to set, if it has none."""
    if account.access_key_id is None or account.secret_access_key is None:
        does = 'write access_key_id = "env:NAME" and secret_access_key = "env:NAME"'
        raise SettingsError(
            [f"[accounts.{account.name}]: access_key_id: is not set; its own calls are signed with it: {does}"]
        )
    token = account.security_token
    return Access(
        key_id=one_line(account, "access_key_id", account.access_key_id.reveal()),
        secret=account.secret_access_key.reveal(),
        token=None if token is None else one_line(account, "security_token", token.reveal()),
    )


def host_of(endpoint: str) -> str:
    """Return the host as it is sent and signed: with its port, unless that is the scheme's own."""
    parts = urlsplit(endpoint)
    own = _PORTS.get(parts.scheme)
    return parts.netloc.removesuffix(f":{own}")


def one_line(account: Account, key: str, value: str) -> str:
    """Return a setting that goes into a header; raise SettingsError, without quoting it, where it can't stand there."""
    if not (value.isascii() and value.isprintable()) or not value.strip():
        raise SettingsError([f"[accounts.{account.name}]: {key}: holds what no header can; expected visible ASCII"])
    return value.strip()
