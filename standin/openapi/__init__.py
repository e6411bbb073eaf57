"""The vendors' OpenAPI servers, imitated on loopback: what they check is checked, what they do silently is done."""

from __future__ import annotations

from standin.openapi.api import VENDORS, OpenApiStandin
from standin.openapi.calls import Call
from standin.openapi.credentials import Credential
from standin.openapi.faults import KINDS, Fault
from standin.openapi.tasks import Task
from standin.openapi.wire import TaskKey

__all__ = ["KINDS", "VENDORS", "Call", "Credential", "Fault", "OpenApiStandin", "Task", "TaskKey"]
