"""What became of a try at a destination: read from an HTTP answer, or from why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from handlers.destinations.sending import host_shown
from handlers.fields import storable
from handlers.operation import Meaning, Outcome, refused
from handlers.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handlers.destinations.dialling import NoAnswer
    from handlers.operation import Response, Verdict
    from handlers.settings import Destination

_LONGEST_QUOTE = 200
#: characters of a secret that may be looked for in a text; a shorter one is found in any
_LEAST_SECRET = 6

#: why there is no answer -> whether another try may get one, and what is known of it
_NO_ANSWER: Final[Mapping[str, tuple[Verdict, str]]] = {
    "forbidden": ("give_up", "the address may not be called; allow_private of the destination lets networks in"),
    "unsendable": ("give_up", "another try would send the same"),
    "unknown_host": ("again", "the name may be known later"),
    "unreachable": ("again", "nothing was sent"),
    "tls": ("again", "nothing was sent; mend the certificate, or trust who issued it (SSL_CERT_FILE)"),
    "timeout": ("again", "the next try may get an answer"),
    "broken": ("again", "the next try may get an answer"),
}

#: HTTP statuses of a destination that mean more than their class does
_STATUSES: Final[Mapping[int, Meaning]] = {
    408: Meaning(verdict="again", says="it was too slow to take the request"),
    410: Meaning(verdict="give_up", says="gone: the receiver wants no more of these"),
    421: Meaning(verdict="again", says="another server of this name may take it"),
    425: Meaning(verdict="again", says="it is too early for the receiver"),
    429: Meaning(verdict="again", says="calls come too fast for the receiver", is_throttled=True),
    503: Meaning(verdict="again", says="the receiver takes nothing at the moment"),
}
_AGAIN = Meaning(verdict="again", says="the receiver failed, and may not the next time")
_REFUSED = Meaning(verdict="give_up", says="the receiver would refuse it again")
_REDIRECT = Meaning(
    verdict="give_up", says="redirects are not followed; write where it leads into the destination's url"
)
_STRANGE = Meaning(verdict="give_up", says="no status that ends a request")
#: a gateway's word that leaves open what was done behind it
_OF_GATEWAYS = frozenset({502, 504})
_UNAVAILABLE = 503


def unanswered(failure: NoAnswer) -> Outcome:
    """Return the outcome of a request without an answer; pure."""
    verdict, says = _NO_ANSWER[failure.reason]
    return Outcome(verdict=verdict, code=failure.reason, detail=str(failure), meaning=says, is_unclear=failure.was_sent)


def answered(response: Response, *, secrets: Iterable[str] = ()) -> Outcome:
    """Return the outcome of a destination's answer; pure. The answer is quoted without what is in `secrets`."""
    status = response.status
    detail = hide(f"HTTP {status}{_redirect(response)}{_quoted(response.body)}", secrets)
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own
        return Outcome(verdict="done", code=str(status), detail=detail)
    meaning = _STATUSES.get(status) or _of_class(status)
    outcome = refused(meaning, response, code=str(status), message=detail, request_id=None)
    # A time that it names is meant for all calls.
    is_closed = status == _UNAVAILABLE and outcome.after_ms is not None
    return replace(outcome, is_unclear=status in _OF_GATEWAYS, is_throttled=outcome.is_throttled or is_closed)


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return the text, fit to be kept, without these secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "(hidden)") if len(secret) >= _LEAST_SECRET else text
    return storable(text)


def secrets_of(destination: Destination) -> list[str]:
    """Return the secrets that the destination is configured with, revealed: never to be shown."""
    every = [one for _, value in destination for one in (value.values() if isinstance(value, Mapping) else (value,))]
    return [one.reveal() for one in every if isinstance(one, Secret)]


def _of_class(status: int) -> Meaning:
    return {3: _REDIRECT, 4: _REFUSED, 5: _AGAIN}.get(status // 100, _STRANGE)


def _redirect(response: Response) -> str:
    """Name the host that a redirect leads to: the rest may hold a secret."""
    where = response.headers.get("location", "")
    if response.status // 100 != 3 or not where:  # noqa: PLR2004 - HTTP's own
        return ""
    return f" redirects to {host_shown(where) or 'another path of its own'}"


def _quoted(body: bytes) -> str:
    text = " ".join(body[: 4 * _LONGEST_QUOTE].decode(errors="replace").split())
    return f": {text[:_LONGEST_QUOTE]}" if text else ""
