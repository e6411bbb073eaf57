"""What Volcengine's answers mean for a call: done, worth another try, or not.

Facts: the pages docs/6348/70426 and 1178322, and the gateway's table of common error codes. The versions 2020-12-01
and 2022-06-01 answer HTTP 200 with an Error inside: a call has succeeded if the status is 200 *and* no Error is there.
The code tells more than the status, so it is looked at first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.operation import Meaning, Outcome, read_object, refused, request_id_of, unheard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.operation import Response, Verdict

_HEADER = "x-request-id"
_OK = 200

_OVER_LIMIT = Meaning(verdict="again", says="more calls per second than the account may make", is_throttled=True)
_BUSY = Meaning(verdict="again", says="another call of this task is at work: they go one after the other")
_SERVICE = Meaning(verdict="again", says="a failure inside the service")
_NOT_SET_UP = Meaning(verdict="give_up", says="the account or the app lacks a service or a permission: see the console")
_WRONG_KEY = Meaning(
    verdict="give_up",
    says="access_key_id, secret_access_key or security_token of the account",
    is_key_refused=True,
)


def _no(says: str) -> Meaning:
    return Meaning(verdict="give_up", says=says)


def _again(says: str) -> Meaning:
    return Meaning(verdict="again", says=says)


CODES: Mapping[str, Meaning] = {
    # the service's
    "InvalidParameter": _no("a parameter is wrong, or the task is of a kind that can't be updated"),
    "InvalidParameter.ErrorActiveTaskNotFound": _no("no such task runs: it has ended, or its ids are other ones"),
    "InvalidParameter.TaskAlreadyExists": _no("a task of this id runs already"),
    "InvalidParameter.InvalidRtmpAddress": _no("the push address is wrong"),
    "InvalidParameter.IllegalRoomID": _no("the RoomId breaks the rule of ids"),
    "InvalidParameter.IllegalAppId": _no("the AppId breaks the rule of ids"),
    "InvalidParameter.NotExistAppId": _no("there is no such app"),
    "InvalidParameter.AccountIdMismatch": _no("the app is another account's: check the access key"),
    "InvalidParameter.EmptyAccountId": _no("the access key is of no account"),
    "InvalidParameter.BodyIsEmpty": _no("the body did not arrive"),
    "InvalidParameter.Unmarshal": _no("a parameter is of another JSON type"),
    "MissingParameter.NoRoomId": _no("RoomId is missing"),
    "MissingParameter.NoUserId": _no("UserId is missing"),
    "MissingParameter.NoAppId": _no("AppId is missing"),
    "MissingParameter.NoToken": _no("a token is missing"),
    "FlowLimitExceeded.QPSOverLimit": _OVER_LIMIT,
    "FlowLimitExceeded.TaskNumberOverLimit": _again("more tasks at a time than the account may have"),
    "AccessDenied.RecordNotEnabled": _NOT_SET_UP,
    "AccessDenied.NoPermissionForApp": _NOT_SET_UP,
    "AccessDenied.ServiceNotEnabled": _NOT_SET_UP,
    "InternalError.ReachRateLimit": _OVER_LIMIT,
    "InternalError.Parallel": _BUSY,
    "InternalError.LockContention": _BUSY,
    "InternalError.TaskNotReady": _again("the task is not ready yet"),
    **dict.fromkeys(
        (
            "InternalError.Unknown",
            "InternalError.UnknownInternalError",
            "InternalError.ServerError",
            "InternalError.DB",
            "InternalError.DBCheckTaskExistFailed",
            "InternalError.DBReadTaskFailed",
            "InternalError.DBUpdateTaskFailed",
            "InternalError.Executor",
            "InternalError.RPC",
            "InternalError.Redis",
            "InternalError.Marshal",
            "InternalError.NotFound",
            "InternalError.TaskControlError",
            "InternalError.NotifyConnectionRefused",
            "InternalError.GenerateTokenFailed",
        ),
        _SERVICE,
    ),
    "InternalError.InvalidMeta": _no("the service can't use what it knows of the task"),
    "InternalError.TaskRepeat": _no("the task is there twice"),
    # the gateway's
    "MissingParameter": _no("the query lacks Action or Version"),
    "MissingAuthenticationToken": _no("the request arrived without its signature"),
    "MissingRequestInfo": _no("the request arrived without a header that is signed"),
    "MissingSignature": _no("the request arrived without its signature"),
    "InvalidTimestamp": _again("our clock or the vendor's is off; the next try is signed anew"),
    "ServiceNotFound": _no("the service is not at this endpoint or region: see endpoint and region of the account"),
    "InvalidActionOrVersion": _no("the API is not at this endpoint"),
    "InvalidAccessKey": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_KEY,
    "LackPolicy": _NOT_SET_UP,
    "AccessDenied": _NOT_SET_UP,
}

#: a code that isn't listed goes by what it begins with
FAMILIES: Mapping[str, Meaning] = {
    "FlowLimitExceeded": _OVER_LIMIT,
    "InternalError": _SERVICE,
    "InvalidParameter": _no("a parameter is wrong"),
    "MissingParameter": _no("a parameter is missing"),
    "AccessDenied": _NOT_SET_UP,
}


def outcome(response: Response) -> Outcome:
    """Read an answer, whatever it is: by its code if there is one, else by status and form."""
    values = read_object(response.body)
    metadata = _object(values, "ResponseMetadata")
    request_id = request_id_of(response, metadata.get("RequestId"), _HEADER)
    error = metadata.get("Error")
    if error:
        found = error if isinstance(error, dict) else {}
        code = found.get("Code")
        code = code if isinstance(code, str) and code else "Error"
        meaning = look_up(code, response.status)
        return refused(meaning, response, code=code, message=found.get("Message"), request_id=request_id)
    if response.status == _OK and (metadata or (values or {}).get("Result") == "ok"):
        return Outcome(verdict="done", detail="ok", request_id=request_id)
    return unheard(response, request_id=request_id)


def look_up(code: str, status: int) -> Meaning:
    """Return what a code means, by its row, else its family, else the HTTP status that it came with."""
    meaning = CODES.get(code) or FAMILIES.get(code.partition(".")[0])
    if meaning is not None:
        return meaning
    if status == 401:  # noqa: PLR2004 - HTTP's own
        return _WRONG_KEY
    verdict: Verdict = "again" if status in {408, 429} or status >= 500 else "give_up"  # noqa: PLR2004 - HTTP's own
    return Meaning(verdict=verdict, says="a code that Reelhook doesn't know")


def _object(values: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    found = (values or {}).get(name)
    return found if isinstance(found, dict) else {}
