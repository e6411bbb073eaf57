"""Which HTTP status and number belong to an error code.

The gateway's table is the vendor's page of common error codes; the service's words are those of the RTC pages, whose
versions 2020-12-01 and 2022-06-01 answer HTTP 200 with an Error inside.
"""

from __future__ import annotations

#: code -> (HTTP status, CodeN, text)
GATEWAY: dict[str, tuple[int, int, str]] = {
    "MissingParameter": (400, 100002, "The request lacks a parameter of the gateway."),
    "MissingAuthenticationToken": (401, 100003, "The request is not signed."),
    "MissingRequestInfo": (400, 100004, "The request lacks what its signature is checked with."),
    "MissingSignature": (401, 100005, "The Authorization header holds no signature."),
    "InvalidTimestamp": (400, 100006, "The signature is expired, or from the future."),
    "ServiceNotFound": (404, 100007, "The service of the credential scope is not here."),
    "InvalidActionOrVersion": (404, 100008, "The action is not here in this version."),
    "InvalidAccessKey": (401, 100009, "The access key is unknown."),
    "SignatureDoesNotMatch": (401, 100010, "The signature is not the one that was calculated here."),
    "LackPolicy": (403, 100012, "The access key lacks a policy."),
    "AccessDenied": (403, 100013, "The access key may not do this."),
    "InternalError": (500, 100014, "The gateway failed."),
}

#: the service's codes that a call can meet here -> text
SERVICE: dict[str, str] = {
    "InvalidParameter": "A parameter is invalid.",
    "InvalidParameter.BodyIsEmpty": "The body is empty.",
    "InvalidParameter.Unmarshal": "The body can't be read.",
    "InvalidParameter.IllegalAppId": "The AppId is malformed.",
    "InvalidParameter.IllegalRoomID": "The RoomId is malformed.",
    "InvalidParameter.TaskAlreadyExists": "A task of this id runs already.",
    "InvalidParameter.ErrorActiveTaskNotFound": "No task of this id runs.",
    "MissingParameter.NoAppId": "The AppId is missing.",
    "MissingParameter.NoRoomId": "The RoomId is missing.",
    "FlowLimitExceeded.QPSOverLimit": "More calls per second than the account may make.",
    "InternalError.Parallel": "Another call of this task is at work.",
    "InternalError.UnknownInternalError": "The service failed.",
}


def look_up(code: str) -> tuple[int, int | None, str]:
    """Return (HTTP status, CodeN or None, text) of a code; one that is not listed is the service's."""
    if code in GATEWAY:
        return GATEWAY[code]
    return 200, None, SERVICE.get(code, "The service refuses the call.")
