"""What an operation is: one kind of call that we know how to make, with everything that its API's contract says.

An operation builds a request and reads an answer. It never sends, sleeps or loops: that is the worker's.
"""

from __future__ import annotations

from handlers.operation.access import Access, access_of, host_of, one_line
from handlers.operation.answers import Meaning, code_of, read_object, refused, request_id_of, told, unheard
from handlers.operation.call import Operation, Outcome, Request, Response, Verdict
from handlers.operation.caveats import Caveat, caveats_of, gives, leaves_out
from handlers.operation.dry_run import dry_run, shown_headers
from handlers.operation.parameters import (
    Number,
    Parameters,
    Problem,
    complete,
    find_problems,
    find_unsent,
    holds,
    takes_text,
)

__all__ = [
    "Access",
    "Caveat",
    "Meaning",
    "Number",
    "Operation",
    "Outcome",
    "Parameters",
    "Problem",
    "Request",
    "Response",
    "Verdict",
    "access_of",
    "caveats_of",
    "code_of",
    "complete",
    "dry_run",
    "find_problems",
    "find_unsent",
    "gives",
    "holds",
    "host_of",
    "leaves_out",
    "one_line",
    "read_object",
    "refused",
    "request_id_of",
    "shown_headers",
    "takes_text",
    "told",
    "unheard",
]
