"""Decides where the processes of one web server put their figures together: an empty folder of the server's own."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from handlers.errors import SettingsError
from handlers.secrets import make_data_folder

#: where prometheus_client looks; it reads the variable when it is imported
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def make_metrics_folder(data: Path) -> Path:
    """Make an empty folder below the data folder that stays ours while this process or its children live.

    Folders of servers that are gone are removed. Raises SettingsError where nothing can be written there.
    """
    make_data_folder(data)
    every = data / "metrics"
    try:
        every.mkdir(exist_ok=True)
        with (every / "lock").open("a") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            for folder in every.iterdir():
                _remove_if_left(folder)
            mine = Path(tempfile.mkdtemp(dir=every))
            _claim(mine)
    except OSError as exc:
        raise SettingsError([f"REELHOOK_DATA: {every} can't be written: {exc.strerror}"]) from exc
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
