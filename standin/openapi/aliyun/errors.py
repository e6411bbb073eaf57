"""Which HTTP status belongs to an error code.

TaskExisted, InternalError and the three Malformed codes are those of the page on StartRecordTask; Throttling and what
is about signatures is the gateway's. What happens to a task that isn't there, or that records single streams, has no
documented code: InvalidTaskId.NotFound and OperationDenied.MixMode are made up here, in the vendor's manner.
"""

from __future__ import annotations

CODES: dict[str, tuple[int, str]] = {
    "TaskExisted": (200, "task is already existed"),
    "InternalError": (500, "The request processing has failed due to some unknown error, exception or failure."),
    "Throttling.User": (400, "Request was denied due to user flow control."),
    "ServiceUnavailable": (503, "The request has failed due to a temporary failure of the server."),
    "MissingParameter": (400, "A mandatory parameter is missing."),
    "InvalidVersion": (404, "The version is not here."),
    "InvalidAction.NotFound": (404, "The action is not here."),
    "InvalidAccessKeyId.NotFound": (404, "Specified access key is not found."),
    "InvalidSecurityToken.MismatchWithAccessKey": (400, "The security token is not the access key's."),
    "SignatureDoesNotMatch": (400, "Specified signature is not matched with our calculation."),
    "IncompleteSignature": (400, "The signature lacks a part."),
    "SignatureNonceUsed": (400, "Specified signature nonce was used already."),
    "InvalidTimeStamp.Format": (400, "Specified time stamp or date value is not well formatted."),
    "InvalidTimeStamp.Expired": (400, "Specified time stamp or date value is expired."),
    "InvalidTaskId.NotFound": (404, "The task is not there, or has ended."),
    "OperationDenied.MixMode": (400, "A task of MixMode 0 can't be updated."),
}


def look_up(code: str) -> tuple[int, str]:
    """Return (HTTP status, text) of a code; one that is not listed speaks of a parameter."""
    return CODES.get(code, (400, "The specified parameter is not valid."))
