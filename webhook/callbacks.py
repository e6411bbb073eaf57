"""The HTTP door: what a vendor pushes comes in whole and raw, and leaves with an answer that is a promise."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from flask import Blueprint, request

from handlers.clock import now_ms
from handlers.errors import CannotVerify, RefusedDelivery, UnknownAccount
from handlers.events import Incoming
from webhook.body import read_body
from webhook.shown_path import shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.inbox import Inbox, Receipt
    from handlers.inbox.refusals import Refusals
    from handlers.settings import Settings
    from handlers.vendor import Vendor
    from webhook.figures import Figures

_log = logging.getLogger(__name__)


def callbacks_blueprint(
    settings: Settings,
    vendors: Mapping[str, Vendor],
    inbox: Inbox,
    refusals: Refusals,
    figures: Figures,
) -> Blueprint:
    """Return the doors at which vendors push."""
    blueprint = Blueprint("callbacks", __name__)

    # No redirect to a tidier path: no vendor follows it, and its Location would repeat the token.
    @blueprint.post("/callbacks/<vendor>/<account>", strict_slashes=False, merge_slashes=False)
    @blueprint.post("/callbacks/<vendor>/<account>/<door>", strict_slashes=False, merge_slashes=False)
    def receive(vendor: str, account: str, door: str | None = None) -> dict[str, str | int]:
        """Keep one callback and answer for it."""
        incoming = _incoming(vendor, account)
        try:
            incoming = replace(incoming, door=_door(vendors.get(vendor), door))
            incoming = replace(incoming, body=read_body(request.environ, settings.max_body))
            receipt = inbox.accept(incoming)
        except RefusedDelivery as exc:
            came = None
            if isinstance(exc, UnknownAccount) or settings.account(vendor, account) is None:
                # What a stranger writes into a URL becomes no name in our figures and budgets.
                came = shown_path(f"{vendor}/{account}")
                incoming = replace(incoming, vendor="", account="", body=b"")
            figures.count_refusal(incoming, exc)
            refusals.record(incoming, exc, came=came)
            raise
        except CannotVerify as exc:
            _log.warning("a callback of %s/%s can't be verified now: %s", vendor, account, exc)
            raise
        figures.count_acceptance(incoming, receipt)
        request.environ["reelhook.delivery"] = receipt.accepted.delivery
        return dict(vendors[vendor].answer) | _answer(receipt)

    return blueprint


def _door(vendor: Vendor | None, named: str | None) -> str:
    """Return the door that a URL names: plain http, or one of the vendor's others."""
    if vendor is None or named is None:
        return "http"
    doors = sorted(vendor.doors - {"http"})
    if named not in doors:
        # What came is not repeated: a token that lost its "?token=" stands here as well.
        known = f"only {' and '.join(doors)}" if doors else "and needs nothing behind the account"
        raise UnknownAccount(
            f"{vendor.name} has no door of this name, {known}; `reelhook accounts` prints the callback URLs"
        )
    return named


def _incoming(vendor: str, account: str) -> Incoming:
    return Incoming(
        vendor=vendor,
        account=account,
        door="http",
        received_at=now_ms(),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=b"",
        token=request.args.get("token"),
        # As it came, percent-encoding and all: werkzeug's own path is decoded.
        target=request.environ.get("RAW_URI"),
    )


def _answer(receipt: Receipt) -> dict[str, str | int]:
    accepted = receipt.accepted
    if accepted.is_repeat:
        return {"status": "repeat", "delivery": accepted.delivery}
    if accepted.quarantined is not None:
        return {"status": "quarantined", "delivery": accepted.delivery, "reason": accepted.quarantined}
    return {"status": "kept", "delivery": accepted.delivery}
