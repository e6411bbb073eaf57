"""What Alibaba's answers mean for a call: done, worth another try, or not.

Facts: the error table of the page on StartRecordTask, and the vendor's pages on common errors. HTTP 200 with a Code is
a failure (there are several), but for TaskExisted in answer to a start. Throttling comes under 400, 429 or 503, so that
it is known by what its code begins with. The code is looked at first; an answer is JSON, or XML of the old style.
"""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING, Any, Final

from handlers.operation import Meaning, Outcome, code_of, read_object, refused, request_id_of, unheard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.operation import Response, Verdict

_HEADER = "x-acs-request-id"
_OK = 200
#: a Code that some answers have though nothing failed
#: no page shows a Code with what went well, but some of the vendor's other products send these
_NO_ERROR = frozenset({"", "OK", "0", "200"})
_ROOT = re.compile(r"(?:<\?xml[^>]{0,100}\?>\s*)?<(Error|[A-Za-z]{1,64}Response)>(.*)</\1>", re.DOTALL)
_PART = re.compile(r"<(RequestId|Code|Message)>([^<]*)</\1>")

_TOO_FAST = Meaning(verdict="again", says="more calls than the account may make", is_throttled=True)
_WRONG_KEY = Meaning(
    verdict="give_up",
    says="access_key_id, secret_access_key or security_token of the account",
    is_key_refused=True,
)
_EXPIRED = Meaning(
    verdict="again",
    says="the temporary key is over; the next try takes access_key_id, secret_access_key and security_token as they "
    "are then",
    is_key_refused=True,
)
_CLOCK = Meaning(verdict="again", says="our clock or the vendor's is off; the next try is signed anew")


def _no(says: str) -> Meaning:
    return Meaning(verdict="give_up", says=says)


def _again(says: str) -> Meaning:
    return Meaning(verdict="again", says=says)


TASK_EXISTED: Final = "TaskExisted"
_STARTED = "the task runs already: this call, or one before it, started it"

CODES: Mapping[str, Meaning] = {
    # The page on the start has it; where another call gets it, nothing says that the call had its effect.
    TASK_EXISTED: _no("the task exists, which is no answer to this call: see whether it had its effect"),
    "InternalError": _again("a failure inside the service"),
    "InvalidLayoutID.Malformed": _no("LayoutIds are wrong"),
    "InvalidMediaEncode.Malformed": _no("MediaEncode is wrong, or larger than TaskProfile"),
    "InvalidBackgroundColor.Malformed": _no("the template's BackgroundColor is wrong"),
    "Service.Inactive": _no("the service is not activated for the account"),
    "Channel.NoExist": _no("there is no such channel"),
    "App.Stop": _no("the app is stopped: see the console"),
    "App.ChargeOverDue": _no("the account is in arrears: see the console"),
    "InvalidAction.NotFound": _no("the API is not at this endpoint"),
    "InvalidVersion": _no("the API's version is not at this endpoint"),
    "InvalidAccessKeyId.NotFound": _WRONG_KEY,
    "InvalidAccessKeyId.Inactive": _WRONG_KEY,
    "InvalidSecurityToken.Expired": _EXPIRED,
    "InvalidSecurityToken.MismatchWithAccessKey": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_KEY,
    "IncompleteSignature": _no("the request arrived without a part of its signature"),
    "SignatureNonceUsed": _again("the request arrived twice; the next try has another nonce"),
    "InvalidTimeStamp.Expired": _CLOCK,
    "InvalidTimeStamp.Format": _no("the request's date did not arrive as it was sent"),
    "NoPermission": _no("the access key lacks a permission"),
    "Forbidden": _no("the access key lacks a permission"),
    "Forbidden.RAM": _no("the access key lacks a permission"),
    "ServiceUnavailable": _again("the service is away for the moment"),
}

#: a code that isn't listed goes by what it begins with
FAMILIES: Mapping[str, Meaning] = {
    "Throttling": _TOO_FAST,
    "ServiceUnavailable": _again("the service is away for the moment"),
    "InternalError": _again("a failure inside the service"),
    "Missing": _no("a parameter is missing"),
    "InvalidAccessKeyId": _WRONG_KEY,
    "InvalidSecurityToken": _WRONG_KEY,
    "Invalid": _no("a parameter is wrong, or the task isn't there"),
    "OperationDenied": _no("the task doesn't take this call"),
    "Forbidden": _no("the access key lacks a permission"),
}


def outcome(response: Response) -> Outcome:
    """Read an answer, whatever it is: by its code if there is one, else by status and form."""
    values = _read(response.body)
    request_id = request_id_of(response, _part(values, "RequestId"), _HEADER)
    code = _part(values, "Code")
    is_well = code is None or str(code) in _NO_ERROR
    if not is_well:
        named = code_of(code, "Code")
        meaning = look_up(named, response.status)
        return refused(meaning, response, code=named, message=_part(values, "Message"), request_id=request_id)
    if response.status == _OK and (code or _part(values, "RequestId")):
        return Outcome(verdict="done", detail="ok", request_id=request_id)
    return unheard(response, request_id=request_id)


def outcome_of_start(response: Response) -> Outcome:
    """Read an answer to a start: a task that is there already is what was wanted."""
    found = outcome(response)
    return replace(found, verdict="done", meaning=_STARTED) if found.code == TASK_EXISTED else found


def look_up(code: str, status: int) -> Meaning:
    """Return what a code means, by its row, else its family, else the HTTP status that it came with."""
    meaning = CODES.get(code) or next((each for name, each in FAMILIES.items() if code.startswith(name)), None)
    if meaning is not None:
        return meaning
    verdict: Verdict = "again" if status in {408, 429} or status >= 500 else "give_up"  # noqa: PLR2004 - HTTP's own
    return Meaning(verdict=verdict, says="a code that Reelhook doesn't know")


def _part(values: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a part of the answer, by the name that the page has, or by that name with a small letter first."""
    found = values.get(name)
    return values.get(f"{name[0].lower()}{name[1:]}") if found in (None, "") else found


def _read(body: bytes) -> Mapping[str, Any]:
    values = read_object(body)
    if values is not None:
        return values
    # No parser: what is wanted are three flat elements, and a parser would have to be kept from expanding entities.
    found = _ROOT.fullmatch(body.decode("utf-8-sig", "replace").strip())
    return {name: unescape(text) for name, text in _PART.findall(found[2])} if found else {}
