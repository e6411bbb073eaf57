"""What goes to an address of the user's own: a change as a signed CloudEvent, or a delivery just as it came."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field
from standardwebhooks import Webhook

from handlers.destinations.handover import DestinationOperation, Telling, To, message_of
from handlers.destinations.outcomes import answered, secrets_of, unanswered
from handlers.destinations.sending import NoAnswer, host_shown
from handlers.errors import SettingsError, WrongRequest
from handlers.operation import Request
from handlers.settings.values import CONNECTION_HEADERS, OWN_HEADERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.destinations.handover import Handover
    from handlers.destinations.means import Means
    from handlers.operation import Outcome
    from handlers.settings import Destination, HttpDestination

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
#: what the names of headers say that hold a credential
_CREDENTIALS = re.compile(r"authorization|cookie|password|secret|token|api[-_]?key", re.IGNORECASE)
_VALUE = re.compile(r"[\x20-\x7e\t]{0,4096}")
#: of a delivery, what was about its own way here
_NOT_FORWARDED = CONNECTION_HEADERS | {"accept-encoding", "via"}
_SECRET_NAMES = re.compile(r"auth|cookie|key|password|secret|signature|token", re.IGNORECASE)
_PREFIX = "whsec_"


def _headers(headers: dict[str, str]) -> dict[str, str]:
    """Refuse headers that HTTP can't carry, or that are not the rule's to set."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError("holds a name that no header can have; expected letters, digits and -")
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"sets {name}, which is set for every request; leave it out")
        if _CREDENTIALS.search(name):
            kept = f"sets {name}, which would be kept in plain text with each action"
            raise ValueError(f'{kept}; write headers = {{ {name} = "env:NAME" }} into the destination')
        if not _VALUE.fullmatch(value) or value != value.strip():
            raise ValueError(f"{name} holds what no header can; expected visible ASCII, at most 4096 characters")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("names a header twice, in different letters; expected it once")
    return headers


class Post(Telling):
    """The parameters of http.post."""

    headers: Annotated[dict[str, str], AfterValidator(_headers)] | None = Field(
        default=None, max_length=64, repr=False, description="headers to send as well, names and texts"
    )


class Forward(To):
    """The parameters of http.forward."""


def _post_request(handover: Handover, destination: Destination) -> Request:
    """Return the request that hands the change over, signed where the destination has a secret."""
    target = cast("HttpDestination", destination)
    message = message_of(handover)
    given = dict(handover.parameters.get("headers") or {})
    typed = any(name.lower() == "content-type" for name in given)
    headers = given if typed else {"Content-Type": message.content_type, **given}
    headers |= {"webhook-id": handover.call_id, "webhook-timestamp": str(handover.at // 1000)}
    if target.secret is not None:
        signed_at = datetime.fromtimestamp(handover.at // 1000, UTC)
        signer = _signer(target.name, target.secret.reveal())
        headers["webhook-signature"] = signer.sign(handover.call_id, signed_at, message.text)
    return _request(target, headers, message.body)


def _with_own_headers(target: HttpDestination, headers: Mapping[str, str]) -> dict[str, str]:
    """Add the headers that the destination is configured with; they take the place of others of their names."""
    own = {name: value.reveal().strip() for name, value in target.headers.items()}
    if wrong := [name for name, value in own.items() if not _VALUE.fullmatch(value)]:
        expected = "holds what no header can; expected visible ASCII, at most 4096 characters"
        raise SettingsError([f"[destinations.{target.name}]: headers.{wrong[0]}: {expected}"])
    taken = {name.lower() for name in own}
    return {name: value for name, value in headers.items() if name.lower() not in taken} | own


def _forward_request(handover: Handover, destination: Destination) -> Request:
    """Return the delivery as a request of its own: its bytes, and those of its headers that are kept."""
    target = cast("HttpDestination", destination)
    if handover.delivery is None:
        raise WrongRequest({"delivery": "is not kept any more; keep deliveries for longer"})
    kept = handover.delivery.headers.items()
    headers = {name: value for name, value in kept if name.lower() not in _NOT_FORWARDED and _is_sendable(name, value)}
    return _request(target, headers, handover.delivery.body)


def _is_sendable(name: str, value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return bool(_NAME.fullmatch(name)) and not any(character in value for character in "\r\n\0")


def _request(target: HttpDestination, headers: Mapping[str, str], body: bytes) -> Request:
    headers = _with_own_headers(target, headers)
    hidden = frozenset({*target.headers, *(name for name in headers if _SECRET_NAMES.search(name))})
    shown = f"{urlsplit(target.url).scheme}://{host_shown(target.url)}/..."
    return Request(method="POST", url=target.url, headers=headers, body=body, hidden=hidden, shown_url=shown)


def _signer(name: str, secret: str) -> Webhook:
    """Return the signer of a secret: base64 behind whsec_, or any text as the bytes that it is."""
    if not secret.startswith(_PREFIX):
        return Webhook(secret.encode())
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        expected = "expected base64 behind whsec_, or any text without that beginning"
        raise SettingsError([f"[destinations.{name}]: secret: is no key of Standard Webhooks; {expected}"])
    return Webhook(key)


def _perform_post(handover: Handover, destination: Destination, means: Means) -> Outcome:
    return _sent(_post_request(handover, destination), cast("HttpDestination", destination), means)


def _perform_forward(handover: Handover, destination: Destination, means: Means) -> Outcome:
    return _sent(_forward_request(handover, destination), cast("HttpDestination", destination), means)


def _sent(request: Request, target: HttpDestination, means: Means) -> Outcome:
    try:
        response = means.sender.send(request, timeout_ms=target.timeout, allowed=target.allow_private)
    except NoAnswer as exc:
        return unanswered(exc)
    return answered(response, secrets=[*_parts(target.url), *secrets_of(target), *_values(request)])


def _parts(url: str) -> list[str]:
    """Return what of an address may be secret: its path, its query, and each part of them."""
    parts = urlsplit(url)
    found = [url, parts.path, parts.query, *parts.path.split("/"), *re.split(r"[=&]", parts.query)]
    return [*found, *map(unquote, found)]


def _values(request: Request) -> list[str]:
    """Return what the hidden headers hold, with and without their scheme."""
    values = [value for name, value in request.headers.items() if name in request.hidden]
    return [*values, *(value.partition(" ")[2] for value in values)]


POST = DestinationOperation(
    name="post",
    kind="http",
    parameters=Post,
    perform=_perform_post,
    request=_post_request,
    page="https://www.standardwebhooks.com/",
)
FORWARD = DestinationOperation(
    name="forward",
    kind="http",
    parameters=Forward,
    perform=_perform_forward,
    request=_forward_request,
    needs_delivery=True,
    takes_batches=False,
)
