"""Calls of the vendors' own APIs in tests: accounts that may call, golden requests, and a sender of one request."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from handlers.operation import Operation, Request, Response
from handlers.settings import Account, Secret
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

FIXTURES = Path(__file__).parent / "fixtures" / "calls"
#: every operation, as rules write it
OPERATIONS: Mapping[str, Operation] = {
    f"{vendor.name}.{name}": operation for vendor in VENDORS.values() for name, operation in vendor.operations.items()
}
KEY, SECRET, TOKEN = "AKMADEUP", "made-up-secret", "made-up-token"


def account(vendor: str, *, temporary: bool = False, **keys: Any) -> Account:
    """Return an account of the vendor that may call."""
    values: dict[str, Any] = {
        "name": "school",
        "vendor": vendor,
        "access_key_id": Secret.literal(KEY),
        "secret_access_key": Secret.literal(SECRET),
    }
    values |= {"project_id": "p-1"} if vendor == "huawei" else {}
    values |= {"security_token": Secret.literal(TOKEN)} if temporary else {}
    return Account.model_validate(values | keys)


def golden(name: str) -> dict[str, Any]:
    """Return the golden request of an operation: its parameters, when and with which nonce it is made, and itself."""
    vendor, _, operation = name.partition(".")
    found: dict[str, Any] = json.loads((FIXTURES / vendor / f"{operation}.json").read_text())
    return found


def answers(vendor: str) -> dict[str, dict[str, Any]]:
    """Return the answers that the vendor's operations must understand, by what they are."""
    found: dict[str, dict[str, Any]] = json.loads((FIXTURES / vendor / "answers.json").read_text())
    return found


def response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer; what is no text or bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Response(status=status, headers=dict(headers or {}), body=raw)


def send(request: Request, *, timeout: float = 20) -> Response:
    """Send a request, its bytes as they were signed, on a connection of its own; raise what the connection raises."""
    parts = urlsplit(request.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Response(status=answer.status, headers=headers, body=answer.read())
    finally:
        connection.close()


def fields(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return what the command printed of the action, by name."""
    lines = [line.strip().split(":", 1) for line in done.stdout.splitlines()[1:]]
    return {name: value.strip() for name, value in lines}


def wrong(done: subprocess.CompletedProcess[str]) -> str:
    """Return what the command said of its wrong usage."""
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.startswith("reelhook: the call can't be made as it was put\n")
    return done.stderr
