"""What Huawei's answers mean for a call: done, worth another try, or not.

Facts: the page api-rtc/ErrorCode; codes that begin with APIGW are the gateway's. RTC.00001003 comes for a wrong value
as well as for a job that isn't there, so the HTTP status is looked at first, and the code tells the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.operation import Meaning, Outcome, code_of, read_object, refused, request_id_of, unheard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.operation import Response

_HEADER = "x-request-id"
_GONE = 404

_TOO_FAST = Meaning(verdict="again", says="more calls than the account may make", is_throttled=True)
_WRONG_KEY = Meaning(
    verdict="give_up",
    says="access_key_id, secret_access_key or security_token of the account",
    is_key_refused=True,
)
_FAILURE = Meaning(verdict="again", says="a failure inside the service")


def _no(says: str) -> Meaning:
    return Meaning(verdict="give_up", says=says)


CODES: Mapping[str, Meaning] = {
    "RTC.00001001": _no("the access key is not of this project: see project_id of the account"),
    "RTC.00001002": _no("the body can't be read"),
    "RTC.00001003": _no("a parameter is wrong"),
    "RTC.00001004": _no("two parameters don't go together"),
    "RTC.00001005": _no("a parameter is missing"),
    "RTC.00001006": _no("the job runs, and takes no such call now"),
    "RTC.00001007": _no("more jobs than the quota of the account: Huawei raises it on request"),
    "RTC.00001009": _no("the job is over"),
    "RTC.00001010": _no("there is no such layout template"),
    "RTC.00001012": _no("the region is not supported"),
    "RTC.00001013": _no("the rule is in use"),
    "RTC.00001016": _no("the app is deactivated: the account is in arrears"),
    "RTC.00001017": _no("more apps than the quota of the account"),
    "RTC.00001018": _no("Huawei can't reach the URL"),
    "RTC.00001019": _no("there is such a record rule already"),
    "APIGW.0101": _no("the API is not at this endpoint"),
    "APIGW.0301": _WRONG_KEY,
    "APIGW.0303": _WRONG_KEY,
    "APIGW.0308": _TOO_FAST,
}

#: a code that isn't listed goes by what it begins with
FAMILIES: Mapping[str, Meaning] = {
    "RTC.00002": _FAILURE,
    "RTC.00001": _no("the call is refused"),
    "APIGW": _no("the gateway refuses the call"),
}


def outcome(response: Response) -> Outcome:
    """Read an answer, whatever it is: by its status, then by its code."""
    values = read_object(response.body)
    said = values or {}
    request_id = request_id_of(response, said.get("request_id"), _HEADER)
    code = said.get("error_code")
    if code is not None and str(code) not in {"", "0"}:
        named = code_of(code, "error_code")
        meaning = look_up(named, response.status)
        return refused(meaning, response, code=named, message=said.get("error_msg"), request_id=request_id)
    # The page's table of the answer has no field that must be there, job_id neither.
    if response.status == 200 and values is not None:  # noqa: PLR2004 - HTTP's own
        return Outcome(verdict="done", detail="ok", request_id=request_id)
    return unheard(response, request_id=request_id)


def look_up(code: str, status: int) -> Meaning:
    """Return what a code means under the HTTP status that it came with."""
    known = CODES.get(code) or next((each for name, each in FAMILIES.items() if code.startswith(name)), None)
    if status == 429:  # noqa: PLR2004 - HTTP's own
        return _TOO_FAST
    if status >= 500 or status == 408:  # noqa: PLR2004 - HTTP's own
        return known if known is not None and known.verdict == "again" else _FAILURE
    if status == _GONE and not code.startswith("APIGW"):
        return _no("there is no such app or job")
    if known is None and status == 401:  # noqa: PLR2004 - HTTP's own
        return _WRONG_KEY
    return known or _no("a code that Reelhook doesn't know")
