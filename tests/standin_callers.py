"""Calls to the stand-ins of the vendors' OpenAPI that no SDK would send: signed at any time, over any headers."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from standin.openapi.aliyun import signature as aliyun_signature
from standin.openapi.huawei import signature as huawei_signature
from standin.openapi.volcengine import signature as volcengine_signature
from standin.openapi.wire import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from standin.openapi import OpenApiStandin


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def send(api: OpenApiStandin, request: Request, *, timeout: float = 20) -> Reply:
    """Send a request as it is, on a connection of its own."""
    connection = http.client.HTTPConnection(api.host, timeout=timeout)
    try:
        target = f"{request.path}?{request.query}" if request.query else request.path
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in (*request.headers, ("Content-Length", str(len(request.body)))):
            connection.putheader(name, value)
        connection.endheaders(request.body)
        answer = connection.getresponse()
        return Reply(status=answer.status, headers=dict(answer.getheaders()), text=answer.read().decode())
    finally:
        connection.close()


def plain(api: OpenApiStandin, method: str, path: str, values: object = None) -> Reply:
    """Send what nobody signed."""
    body = b"" if values is None else json.dumps(values).encode()
    return send(api, Request(method=method, path=path, query="", headers=(("Host", api.host),), body=body))


def with_header(request: Request, name: str, value: str | None) -> Request:
    """Return the request with a header replaced, or without it."""
    kept = tuple(pair for pair in request.headers if pair[0].lower() != name.lower())
    return replace(request, headers=kept if value is None else (*kept, (name, value)))


def volcengine_request(  # noqa: PLR0913 - each is one thing that a test changes
    api: OpenApiStandin,
    action: str = "UpdateSegment",
    body: object = None,
    *,
    version: str = "2022-06-01",
    method: str = "POST",
    at: float | None = None,
    scope: str = "cn-north-1/rtc/request",
    headers: Mapping[str, str] | None = None,
    unsigned: tuple[str, ...] = (),
    secret: str = "SK",
) -> Request:
    """Return a call signed by the key AK, of now unless told otherwise."""
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if at is None else at))
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {
        "Host": api.host,
        "Content-Type": "application/json",
        "X-Date": date,
        "X-Content-Sha256": hashlib.sha256(content).hexdigest(),
        **(headers or {}),
    }
    query = urlencode({"Action": action, "Version": version})
    request = Request(method=method, path="/", query=query, headers=tuple(sent.items()), body=content)
    signed = tuple(sorted(name.lower() for name in sent if name not in unsigned))
    scope = f"{date[:8]}/{scope}"
    signature = volcengine_signature.sign(request, secret, signed, scope)
    return with_header(
        request,
        "Authorization",
        f"HMAC-SHA256 Credential=AK/{scope}, SignedHeaders={';'.join(signed)}, Signature={signature}",
    )


def volcengine(api: OpenApiStandin, action: str, body: object, *, version: str = "2022-06-01") -> Reply:
    """Make a call of Volcengine's."""
    return send(api, volcengine_request(api, action, body, version=version))


def streams(*indexes: int) -> dict[str, Any]:
    """Return the TargetStreams of these indexes."""
    return {"StreamList": [{"Index": index, "UserId": f"u{index}"} for index in indexes]}


def layout(*indexes: int, **region: Any) -> dict[str, Any]:
    """Return a custom Layout with a region for each of these indexes, `region` being more fields of each."""
    size = {"WidthProportion": 0.5, "HeightProportion": 1}
    regions = [{"StreamIndex": index, **size, **region} for index in indexes]
    return {"LayoutMode": 2, "CustomLayout": {"Canvas": {"Background": "#303342"}, "Regions": regions}}


def aliyun_request(  # noqa: PLR0913 - each is one thing that a test changes
    api: OpenApiStandin,
    action: str | None,
    parameters: Mapping[str, object],
    *,
    method: str = "POST",
    form: bool = False,
    secret: str = "SK",
    common: Mapping[str, str | None] | None = None,
) -> Request:
    """Return a call signed in the old way by the key AK; `common` replaces, or with None leaves out, a parameter."""
    base: dict[str, object] = {
        "Action": action,
        "Version": "2018-01-11",
        "Format": "JSON",
        "AccessKeyId": "AK",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": uuid.uuid4().hex,
        "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    pairs = {name: str(value) for name, value in {**base, **(common or {})}.items() if value is not None}
    values = {name: str(value) for name, value in parameters.items()}
    request = Request(
        method=method,
        path="/",
        query=urlencode(pairs if form else {**pairs, **values}, quote_via=quote),
        headers=(("Host", api.host), ("Content-Type", "application/x-www-form-urlencoded")),
        body=urlencode(values).encode() if form else b"",
    )
    if common and "Signature" in common:
        return request
    signature = aliyun_signature.sign_parameters(request, secret)
    return replace(request, query=f"{request.query}&Signature={quote(signature, safe='')}")


def aliyun(api: OpenApiStandin, action: str, **parameters: object) -> Reply:
    """Make a call of Alibaba's for the app `a`, channel `c`, task `t`; a double underscore stands for a dot."""
    ids: dict[str, object] = {"AppId": "a", "ChannelId": "c", "TaskId": "t", "TemplateId": "tpl"}
    given = {name.replace("__", "."): value for name, value in parameters.items()}
    values = {name: value for name, value in {**ids, **given}.items() if value is not None}
    return send(api, aliyun_request(api, action, values))


def huawei_request(  # noqa: PLR0913 - each is one thing that a test changes
    api: OpenApiStandin,
    method: str = "PUT",
    path: str = "/v2/apps/a/individual-stream-jobs/j",
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    unsigned: tuple[str, ...] = (),
    secret: str = "SK",
) -> Request:
    """Return a call signed by the key AK for the project `p`."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent = {
        "Host": api.host,
        "Content-Type": "application/json",
        "X-Project-Id": "p",
        "X-Sdk-Date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        **(headers or {}),
    }
    request = Request(method=method, path=path, query="", headers=tuple(sent.items()), body=content)
    signed = tuple(sorted(name.lower() for name in sent if name not in unsigned))
    signature = huawei_signature.sign(request, secret, signed)
    return with_header(
        request, "Authorization", f"SDK-HMAC-SHA256 Access=AK, SignedHeaders={';'.join(signed)}, Signature={signature}"
    )


def huawei(api: OpenApiStandin, method: str, path: str, body: object = None) -> Reply:
    """Make a call of Huawei's."""
    return send(api, huawei_request(api, method, path, body))
