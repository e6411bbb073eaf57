"""What a stranger sends: callbacks as the vendor's, of files that nobody recorded, which must be refused.

A stranger does not know the secret, but may have seen a callback: its signature, under other words or cut elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from standin.callbacks.composing import compose

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from standin.callbacks.callback import Callback, Counterpart
    from standin.callbacks.plan import Notice

#: object keys of forged files begin with it
FORGED = "forged/"


def forge(notice: Notice, to: Counterpart, chance: Random) -> Callback | None:
    """Return a callback like the notice's that must be refused; None for a queue, which strangers can't write to."""
    if notice.door != "http":
        return None
    return chance.choice(_WAYS.get(notice.task.vendor, _WITH_TOKEN) if to.secret else _WITH_TOKEN)(notice, to)


def _false(notice: Notice) -> Notice:
    files = tuple(replace(file, key=f"{FORGED}{notice.number}/{file.name}", vid="") for file in notice.files)
    slices = tuple(replace(one, key=f"{FORGED}{one.key}") for one in notice.slices)
    return replace(notice, files=files, slices=slices, forged=True)


def _with_another_secret(notice: Notice, to: Counterpart) -> Callback:
    return compose(_false(notice), _stranger(to))


def _stranger(to: Counterpart) -> Counterpart:
    """Return somebody who guesses the secrets: as long as the right ones, so that length alone tells nothing."""
    token = None if to.token is None else to.token[::-1] + "x"
    return replace(to, secret=to.secret and to.secret[::-1] + "x", token=token)


def _with_another_body(notice: Notice, to: Counterpart) -> Callback:
    """Put the signature of the true callback under a body that says something else."""
    true, false = compose(notice, to), compose(_false(notice), to)
    if notice.task.vendor == "huawei":
        return replace(true, body=false.body.replace(b'"room_id"', b'"room_id" '))
    outer = json.loads(false.body) | {"Signature": json.loads(true.body)["Signature"]}
    return replace(true, body=json.dumps(outer).encode())


def _with_swapped_fields(notice: Notice, to: Counterpart) -> Callback:
    """Exchange the id and the nonce: what is signed stays the same, for the values are sorted."""
    true = compose(notice, to)
    outer = json.loads(true.body)
    nonce = "Nonce" if "Nonce" in outer else "Noce"
    outer["EventId"], outer[nonce] = outer[nonce], outer["EventId"]
    return replace(true, body=json.dumps(outer).encode())


def _with_shifted_fields(notice: Notice, to: Counterpart) -> Callback:
    """Move the border between two fields that are signed one behind the other."""
    true = compose(notice, to)
    rand, time = true.headers["x-rtc-rand"], true.headers["x-rtc-timestamp"]
    headers = dict(true.headers) | {"x-rtc-rand": rand + time[:1], "x-rtc-timestamp": time[1:]}
    return replace(true, headers=headers)


def _without_signature(notice: Notice, to: Counterpart) -> Callback:
    false = compose(_false(notice), to)
    kept = {name: value for name, value in false.headers.items() if not name.startswith("x-rtc-")}
    if notice.task.vendor == "huawei":
        return replace(false, headers=kept)
    outer = json.loads(false.body)
    del outer["Signature"]
    return replace(false, body=json.dumps(outer).encode())


def _without_token(notice: Notice, to: Counterpart) -> Callback:
    return replace(compose(_false(notice), to), token=None)


_Way = Callable[["Notice", "Counterpart"], "Callback"]

#: where nothing is signed, the token of the URL is all that counts
_WITH_TOKEN: tuple[_Way, ...] = (_with_another_secret, _without_token)
_WAYS: Mapping[str, tuple[_Way, ...]] = {
    "volcengine": (_with_another_secret, _with_another_body, _with_swapped_fields, _without_signature),
    "huawei": (_with_another_secret, _with_another_body, _with_shifted_fields, _without_signature),
}
