"""Which HTTP status belongs to an error code, after the vendor's page of error codes and its gateway's.

RTC.00001003 comes with 400 for a wrong value and with 404 for a job or application that isn't there.
"""

from __future__ import annotations

CODES: dict[str, tuple[int, str]] = {
    "APIGW.0101": (404, "The API does not exist or has not been published in the environment."),
    "APIGW.0301": (401, "Incorrect IAM authentication information"),
    "APIGW.0308": (429, "The throttling threshold has been reached"),
    "RTC.00001001": (400, "OperationUnauthorized"),
    "RTC.00001002": (400, "MalformedRequestBody"),
    "RTC.00001003": (400, "InvalidParameterValue"),
    "RTC.00001004": (400, "InvalidParameterCombination"),
    "RTC.00001005": (400, "MissingParameter"),
    "RTC.00001006": (400, "JobRunning"),
    "RTC.00001007": (400, "JobExceed"),
    "RTC.00001009": (400, "JobDone"),
    "RTC.00001010": (400, "LayoutTemplateNotExist"),
    "RTC.00001012": (400, "UnsupportRegion"),
    "RTC.00001013": (400, "RuleForbidenDelete"),
    "RTC.00001016": (400, "AppDeactivation"),
    "RTC.00001017": (400, "AppsExceed"),
    "RTC.00002001": (500, "InternalError"),
}


def look_up(code: str) -> tuple[int, str]:
    """Return (HTTP status, text) of a code; RTC.00002xxx is the service's own failure."""
    if code in CODES:
        return CODES[code]
    return (500, "InternalError") if code.startswith("RTC.00002") else (400, "InvalidParameterValue")
