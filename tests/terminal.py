"""`reelhook ...` as somebody types it: a real process, its output and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from webhook.cli import program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROGRAM = (sys.executable, "-P", "-m", "webhook")


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Return our own environment without settings of Reelhook, and these variables instead."""
    ours = ("REELHOOK_", "DATABASE_URL", "PORT", "WEB_CONCURRENCY", "COLUMNS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(environ)


def typed(
    *arguments: str, environ: Mapping[str, str], cwd: Path | None = None, answer: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; `answer` is what stands on its standard input."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=clean(environ),
        cwd=cwd,
        input=answer or "",
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def told(*arguments: str, environ: Mapping[str, str]) -> Any:
    """Run one command that must succeed, and read the JSON that it prints."""
    done = typed(*arguments, environ=environ)
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


def asked(*arguments: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Do the same as `typed` in this very process, which saves the second that importing takes."""
    unset = dict.fromkeys(os.environ.keys() - clean({}).keys())
    result = CliRunner().invoke(program, arguments, env=unset | dict(environ), prog_name="reelhook")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def asked_json(*arguments: str, environ: Mapping[str, str]) -> Any:
    """Do the same as `told` in this very process."""
    done = asked(*arguments, environ=environ)
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)
