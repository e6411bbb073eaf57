"""Whether what is configured is wise: who can get in, who can listen."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from handlers.doctor.findings import Finding, ok, warn
from handlers.doctor.premises import examine_secret_file, generated_secrets_file
from handlers.secrets import Secret
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handlers.settings import Account, Settings
    from handlers.settings.tables import Table

#: characters below which a secret can be guessed
SHORTEST = 16
_FILE = "file:"
_PUBLIC = "REELHOOK_PUBLIC_URL"


def examine_exposure(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at accounts, secrets, addresses and proxies."""
    yield _config_file(settings)
    yield from _accounts(settings)
    yield from _secrets(settings)
    yield _public_url(settings, is_set=bool(environ.get(_PUBLIC, "").strip()))
    yield _proxies(settings)
    yield _storages(settings)


def _config_file(settings: Settings) -> Finding:
    if settings.config.exists():
        return ok("settings", f"the environment and {settings.config} are in order")
    return ok("settings", f"the environment is in order; there is no {settings.config}")


def _accounts(settings: Settings) -> Iterator[Finding]:
    generated = [account for account in settings.accounts.values() if _is_generated(account)]
    if generated or not settings.accounts:
        says = "no account is configured: `default`, with a secret of our own making, stands for each vendor"
        yield ok("accounts", says, f"for production, write an [accounts.NAME] table into {settings.config}")
    for account in settings.accounts.values():
        if account in generated:
            continue
        check = f"accounts.{account.name}"
        if account.vendor not in VENDORS:
            says = f"this version has no door for {account.vendor} yet: its callbacks get 404 and are lost"
            yield warn(check, says, "don't point the vendor's callback URL here before the version that has one")
            continue
        if account.app_ids:
            yield ok(check, f"{account.vendor}, {len(account.app_ids)} app ids")
        else:
            yield ok(check, f"{account.vendor}, any app id", "list app_ids to have others' deliveries quarantined")


def _is_generated(account: Account) -> bool:
    secrets = (*account.url_tokens, *account.callback_secrets)
    return not secrets or any(secret.reference.startswith("secrets.json:") for secret in secrets)


def _secrets(settings: Settings) -> Iterator[Finding]:
    """Look at every secret; that each resolves is known, or the settings could not have been read."""
    named = list(_named_secrets(settings))
    yield ok("secrets", f"{len(named)} secrets resolve" if named else "no secrets yet; the first start makes them")
    for name, secret in named:
        if len(secret.reveal()) < SHORTEST and _guards_a_door(name):
            shown = name if secret.reference == name else f"{name} ({secret.reference})"
            says = f"{shown} is shorter than {SHORTEST} characters: it can be guessed"
            yield warn("secrets.strength", says, "take a longer one, such as `openssl rand -hex 32` prints")
    files = {secret.reference for _, secret in named if secret.reference.startswith(_FILE)}
    for reference in sorted(files):
        yield from examine_secret_file("secrets.file", settings.config.parent / reference.removeprefix(_FILE))
    yield from examine_secret_file("secrets.generated", generated_secrets_file(settings.data))


def _guards_a_door(name: str) -> bool:
    """Tell secrets that we check from those that others gave us."""
    return any(word in name for word in ("url_tokens", "callback_secrets", "REELHOOK_API_TOKENS"))


def _named_secrets(settings: Settings) -> Iterator[tuple[str, Secret]]:
    for number, token in enumerate(settings.api_tokens):
        yield f"REELHOOK_API_TOKENS[{number}]", token
    sections: Mapping[str, Mapping[str, Table]] = {
        "accounts": {account.name: account for account in settings.accounts.values()},
        "queues": settings.queues,
        "destinations": settings.destinations,
        "storages": settings.storages,
    }
    for section, tables in sections.items():
        for table in tables.values():
            yield from _secrets_of(f"{section}.{table.name}", table)


def _secrets_of(where: str, table: Table) -> Iterator[tuple[str, Secret]]:
    for key in type(table).model_fields:
        value = getattr(table, key)
        if isinstance(value, Secret):
            yield f"{where}.{key}", value
        elif isinstance(value, tuple):
            for number, one in enumerate(value):
                if isinstance(one, Secret):
                    yield f"{where}.{key}[{number}]", one


def _public_url(settings: Settings, *, is_set: bool) -> Finding:
    parts = urlsplit(settings.public_url)
    if not is_set:
        does = f"set {_PUBLIC} to the https:// address under which the vendors reach this server"
        return warn("public_url", f"{_PUBLIC} is not set: callback URLs begin with {settings.public_url}", does)
    if parts.scheme != "https" and not _is_local(parts.hostname or ""):
        says = (
            f"{settings.public_url} is no https: everybody on the way can read callbacks and the tokens in their URLs"
        )
        return warn("public_url", says, f"put a proxy with TLS in front, and set {_PUBLIC} to its address")
    return ok("public_url", f"callback URLs begin with {settings.public_url}")


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _proxies(settings: Settings) -> Finding:
    if settings.trusted_proxies == "*":
        does = "list your proxies' addresses in REELHOOK_TRUSTED_PROXIES"
        return warn("trusted_proxies", "everybody's X-Forwarded headers are believed", does)
    if not settings.trusted_proxies:
        return ok("trusted_proxies", "no proxy's X-Forwarded headers are believed")
    shown = ", ".join(str(network) for network in settings.trusted_proxies)
    return ok("trusted_proxies", f"X-Forwarded headers of {shown} are believed")


def _storages(settings: Settings) -> Finding:
    if settings.storages:
        return ok("storages", f"{', '.join(settings.storages)} tell where files lie")
    return ok("storages", "none is configured", "needed only where a callback does not say where its file lies")
