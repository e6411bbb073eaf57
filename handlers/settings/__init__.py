"""The settings: environment and reelhook.toml, read once into one frozen value, or refused with every mistake."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from handlers.errors import SettingsError
from handlers.secrets import GeneratedSecrets, Secret, generated_secrets, make_data_folder
from handlers.settings.environment import Environment, read_environment
from handlers.settings.kinds import ACCOUNTS
from handlers.settings.tables import (
    Account,
    CeleryDestination,
    Destination,
    HttpDestination,
    Match,
    MnsQueueDestination,
    MnsTopicDestination,
    PythonDestination,
    Queue,
    S3Destination,
    SnsDestination,
    SqsDestination,
    SqsQueue,
    Storage,
)
from handlers.settings.toml_file import TomlFile, read_toml
from handlers.settings.values import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Account",
    "CeleryDestination",
    "Destination",
    "HttpDestination",
    "Match",
    "MnsQueueDestination",
    "MnsTopicDestination",
    "Network",
    "PythonDestination",
    "Queue",
    "S3Destination",
    "Secret",
    "Settings",
    "SnsDestination",
    "SqsDestination",
    "SqsQueue",
    "Storage",
    "callback_url",
    "load",
]

#: the account that each vendor has as long as none is configured
DEFAULT_ACCOUNT = "default"
_API_TOKEN = "api_token"  # noqa: S105 - the name of a secret, not one


@dataclass(frozen=True, kw_only=True)
class Settings(Environment):
    """All that is configured; paths are absolute, durations integer milliseconds."""

    #: by vendor and name
    accounts: Mapping[tuple[str, str], Account]
    queues: Mapping[str, Queue]
    destinations: Mapping[str, Destination]
    #: in the file's order: the first that matches is taken
    storages: Mapping[str, Storage]
    #: secrets were made by this very load(): show them once
    generated: bool = False

    def account(self, vendor: str, name: str) -> Account | None:
        """Return the account of this vendor and name, if there is one."""
        return self.accounts.get((vendor, name))


def load(environ: Mapping[str, str], *, vendors: Sequence[str], create: bool = True) -> Settings:
    """Read the environment and the file that it names.

    `vendors` get an account `default` each as long as no account is configured. Secrets that are needed and not
    configured are made once and kept in the data folder; with `create` false nothing is written, and secrets that
    were not made yet are empty.

    Raises SettingsError with every mistake, one sentence each; none quotes a secret.
    """
    problems: list[str] = []
    environment = read_environment(environ, problems)
    file = read_toml(environment.config, environ, must_exist=bool(environ.get("REELHOOK_CONFIG", "").strip()))
    problems += file.problems
    if environment.on_server:
        problems += _missing_on_a_server(environ, file)
    if problems:
        raise SettingsError(problems)
    return _settings(environment, file, vendors, create=create)


def callback_url(settings: Settings, account: Account, door: str | None = None) -> str:
    """Return what to paste into the vendor's console, with the account's first URL token: a secret.

    `door` is one of the vendor's further doors.
    """
    url = f"{settings.public_url}/callbacks/{account.vendor}/{account.name}"
    if door is not None:
        url += f"/{door}"
    if not account.url_tokens:
        return url
    return f"{url}?token={quote(account.url_tokens[0].reveal(), safe='')}"


def _missing_on_a_server(environ: Mapping[str, str], file: TomlFile) -> list[str]:
    """Tell what must be configured because several machines would each make their own."""
    why = "with a database server it must be set, or several machines would each make their own"
    missing = []
    if not environ.get("REELHOOK_API_TOKENS", "").strip():
        missing.append(f"REELHOOK_API_TOKENS: is not set; {why}: tokens separated by commas")
    if file.readable and not file.written:
        table = f"write an [accounts.NAME] table into {file.path}"
        missing.append(f"{file.path.name}: accounts: no account is configured; {why}: {table}")
    return missing


def _settings(environment: Environment, file: TomlFile, vendors: Sequence[str], *, create: bool) -> Settings:
    wanted = [] if environment.api_tokens else [_API_TOKEN]
    wanted += [] if file.accounts else vendors
    if create and (wanted or _holds_our_files(environment)):
        make_data_folder(environment.data)
    made = generated_secrets(environment.data, wanted, create=create)
    known = {each.name: getattr(environment, each.name) for each in fields(environment)}
    known["api_tokens"] = environment.api_tokens or _secrets_of(made, _API_TOKEN)
    accounts = list(file.accounts.values()) or [_default_account(vendor, made) for vendor in vendors]
    return Settings(
        **known,
        accounts=MappingProxyType({(account.vendor, account.name): account for account in accounts}),
        queues=MappingProxyType(file.queues),
        destinations=MappingProxyType(file.destinations),
        storages=MappingProxyType(file.storages),
        generated=made.made_now,
    )


def _holds_our_files(environment: Environment) -> bool:
    """Tell whether the database or the spool stands in the data folder."""
    database = Path(environment.database_url.removeprefix("sqlite:///"))
    return environment.data in database.parents or environment.data in (environment.spool or Path()).parents


def _default_account(vendor: str, made: GeneratedSecrets) -> Account:
    signs = vendor in ACCOUNTS.kinds and "callback_secrets" in ACCOUNTS.kinds[vendor].required
    key = "callback_secrets" if signs else "url_tokens"
    return Account.model_validate({"name": DEFAULT_ACCOUNT, "vendor": vendor, key: _secrets_of(made, vendor)})


def _secrets_of(made: GeneratedSecrets, name: str) -> tuple[Secret, ...]:
    return (made.values[name],) if name in made.values else ()
