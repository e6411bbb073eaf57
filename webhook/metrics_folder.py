"""Decides where the processes of one web server put their figures together: an empty folder of the server's own."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from handlers.errors import SettingsError
from handlers.secrets import make_data_folder
from webhook.server import SHARED_MEMORY

#: where prometheus_client looks; it reads the variable when it is imported
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def make_metrics_folder(data: Path) -> Path:
    """Make an empty folder that stays ours while this process or its children live.

    It lies in memory where the system has a file system there, else below the data folder: a process that writes to
    a mapped file on a full disk is killed by SIGBUS, and figures must not cost a callback. Folders of servers that are
    gone are removed. Raises SettingsError where nothing can be written.
    """
    make_data_folder(data)
    with suppress(OSError):
        return _make(_in_memory())
    every = data / "metrics"
    try:
        every.mkdir(exist_ok=True)
        return _make(every)
    except OSError as exc:
        raise SettingsError([f"REELHOOK_DATA: {every} can't be written: {exc.strerror}"]) from exc


def _in_memory() -> Path:
    """Return the folder of all servers of this user; raise OSError where there is none that only they can write."""
    user = os.geteuid()
    every = SHARED_MEMORY / f"reelhook-{user}"
    every.mkdir(mode=0o700, exist_ok=True)
    found = every.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o022:
        raise PermissionError(f"{every} is somebody else's")
    return every


def _make(every: Path) -> Path:
    with (every / "lock").open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for folder in every.iterdir():
            _remove_if_left(folder)
        mine = Path(tempfile.mkdtemp(dir=every))
        _claim(mine)
    return mine


def _claim(folder: Path) -> int:
    """Lock the folder until the last process that inherits the lock is gone; the descriptor stays open on purpose."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_left(folder: Path) -> None:
    if not folder.is_dir():
        return
    try:
        descriptor = _claim(folder)
    except BlockingIOError:
        return
    os.close(descriptor)
    shutil.rmtree(folder, ignore_errors=True)
