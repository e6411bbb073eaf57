"""Decides what is meant by the name of something that is to be stopped, or to go on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from handlers.errors import WrongRequest
from handlers.questions import acting

if TYPE_CHECKING:
    from handlers.database import Database
    from handlers.settings import Settings

#: what has a name; beside them there is `all`
NAMED: Final = ("rule", "operation", "account", "destination")
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def whole_name(settings: Settings, kind: str, name: str) -> str:
    """Return the name as switches keep it: of an account `vendor/name`.

    Raises WrongRequest, by the kind, for a name that can't be one, and for an account that is not configured or whose
    name several vendors have. With its vendor it is taken as it is: calls may wait for one that is configured no more.
    """
    if kind != "all" and (not name or _UNSTORABLE.search(name)):
        raise WrongRequest({kind: "is empty, or holds a NUL or half a surrogate pair; expected a name"})
    if kind != "account" or "/" in name:
        return name
    found = [f"{vendor}/{account}" for vendor, account in settings.accounts if account == name]
    if len(found) == 1:
        return found[0]
    known = ", ".join(found or (f"{vendor}/{account}" for vendor, account in settings.accounts))
    why = "several vendors have such an account" if found else "there is no such account"
    raise WrongRequest({kind: f"is {name!r}, but {why}; expected one of {known}"})


def is_known(database: Database, kind: str, name: str) -> bool:
    """Tell whether any action of this was ever planned; of all it is always so."""
    if kind == "all":
        return True
    vendor, _, account = name.partition("/")
    named = {"vendor": vendor, "account": account} if kind == "account" else {kind: name}
    with database.read() as connection:
        return acting.is_known(connection, **named)
