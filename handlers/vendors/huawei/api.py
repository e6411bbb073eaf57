"""The call that Reelhook makes to Huawei Cloud RTC: the update of an individual stream job."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import AfterValidator, Field

from handlers.errors import SettingsError
from handlers.operation import (
    Caveat,
    Operation,
    Parameters,
    Request,
    access_of,
    complete,
    gives,
    holds,
    host_of,
    one_line,
)
from handlers.vendors.huawei import errors, signing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.events import TaskKey
    from handlers.settings import Account

ENDPOINT = "https://rtc-api.myhuaweicloud.com"
_PAGE = "api-rtc/UpdateIndividualStreamJobV2"
_IDS = frozenset({"app_id", "job_id"})


def _part_of_a_path(text: str) -> str:
    if not re.fullmatch(r"[^/\\\x00-\x20\x7f]{1,256}", text) or text in {".", ".."}:
        raise ValueError("can't stand in the path of the call; expected 1 to 256 characters without / and blanks")
    return text


def _json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise ValueError("holds what JSON can't say, such as a number that is none; expected an object") from None
    return value


# An id with a slash is sent as %2F and signed as a slash, so that it can't be checked.
Id = Annotated[str, AfterValidator(_part_of_a_path), Field(description="text of 1 to 256 characters without /")]


class RecordParam(Parameters):
    """How the stream is recorded."""

    page: ClassVar[str] = _PAGE

    record_rule_id: str = Field(min_length=1, description="the id of a record rule")


class UpdateIndividualStreamJob(Parameters):
    """UpdateIndividualStreamJob, v2."""

    page: ClassVar[str] = _PAGE

    app_id: Id
    job_id: Id
    record_param: RecordParam | None = Field(None, description="an object with record_rule_id")
    publish_param: Annotated[dict[str, Any], AfterValidator(_json)] | None = Field(
        None, repr=False, description="an object such as rtmp_urls, sent as it is"
    )


def _own(task: TaskKey, _business_id: str | None) -> dict[str, str]:
    return {"app_id": task.app_id, "job_id": task.task_id}


def _lane(parameters: Mapping[str, Any]) -> str | None:
    app_id, job_id = parameters.get("app_id"), parameters.get("job_id")
    return f"record/{app_id}/{job_id}" if app_id and job_id else None


def _body(values: Mapping[str, Any]) -> bytes:
    sent = {name: value for name, value in values.items() if name not in _IDS}
    return json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode()


def _request(parameters: Mapping[str, Any], account: Account, at: int, _nonce: str) -> Request:
    values = complete(UpdateIndividualStreamJob, parameters)
    if account.project_id is None:
        raise SettingsError(
            [f"[accounts.{account.name}]: project_id: is not set; Huawei takes no signed call without it"]
        )
    endpoint = account.endpoint or ENDPOINT
    app_id, job_id = (quote(values[name], safe="~") for name in ("app_id", "job_id"))
    path = f"/v2/apps/{app_id}/individual-stream-jobs/{job_id}"
    body = _body(values)
    project = one_line(account, "project_id", account.project_id)
    headers = {"Host": host_of(endpoint), "Content-Type": "application/json", "X-Project-Id": project}
    return Request(
        method="PUT",
        url=f"{endpoint}{path}",
        headers=signing.sign("PUT", path, headers, body, access=access_of(account), at=at),
        body=body,
        hidden=signing.HIDDEN,
        # An address of RTMP ends with the key that lets anybody send.
        shown_body=_body({**values, "publish_param": "(hidden)"}) if "publish_param" in values else None,
    )


def _covers(newer: Mapping[str, Any], older: Mapping[str, Any]) -> bool:
    """Tell whether the newer update sets everything that the older one does."""
    return holds(newer, {name: value for name, value in older.items() if name not in _IDS})


UPDATE_INDIVIDUAL_STREAM_JOB = Operation(
    name="update_individual_stream_job",
    api="UpdateIndividualStreamJob",
    parameters=UpdateIndividualStreamJob,
    own=_own,
    request=_request,
    outcome=errors.outcome,
    lane=_lane,
    limit=None,
    is_repeatable=True,
    task_type="record",
    covers=_covers,
    feeds=frozenset({"recording.created", "recording.changed", "recording.available"}),
    warnings=(
        Caveat("a job can be updated in some states only; which isn't documented"),
        Caveat(
            "publish_param is gone from today's page of the API and from the vendor's SDK: it is sent as it is given",
            when=gives("publish_param"),
        ),
        Caveat(
            "an app has at most one record rule for each location, so that another record_rule_id is of limited use",
            when=gives("record_param"),
        ),
    ),
    page=_PAGE,
)

OPERATIONS: Mapping[str, Operation] = {UPDATE_INDIVIDUAL_STREAM_JOB.name: UPDATE_INDIVIDUAL_STREAM_JOB}
