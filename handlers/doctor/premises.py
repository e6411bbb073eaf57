"""Whether this machine can hold what Reelhook puts on it: folder, disk, file system, clock, and who can read it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.doctor.findings import Finding, fail, ok, warn
from handlers.secrets import SECRETS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1024 * 1024
#: bytes of free disk below which keeping may stop soon, and below which somebody should look
LEAST_FREE = 64 * MEBIBYTE
LOW_FREE = 1024 * MEBIBYTE
#: file systems on which SQLite's locks and shared memory can't be trusted
NETWORKED = frozenset({"9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"})
#: file systems whose files are gone after a restart
FLEETING = frozenset({"ramfs", "tmpfs"})
#: what a container writes over its image: gone with the container
LAYERED = frozenset({"aufs", "overlay"})
#: this version was made later: a clock before it is wrong (2026-01-01, seconds since 1970 UTC)
MADE_AFTER = 1_767_225_600
_MOUNTS = Path("/proc/self/mountinfo")


def examine_folder(folder: Path, *, name: str, holds_sqlite: bool) -> Iterator[Finding]:
    """Look at a folder that Reelhook writes into; `name` is the variable that chooses it.

    A folder that isn't there yet is judged by its nearest parent. Nothing is left behind.
    """
    check = name.lower().removeprefix("reelhook_")
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        yield fail(check, f"{there} is no folder", f"set {name} to a folder")
        return
    problem = _write_problem(there)
    if problem:
        does = f"let the user that runs Reelhook write there, or set {name} to another place"
        yield fail(check, f"{there} can't be written: {problem}", does)
        return
    yield ok(check, f"{folder} can be written" if there == folder else f"{folder} is not there yet; it will be made")
    if there == folder:
        yield from _privacy(check, folder)
    yield from _disk(check, there, name)
    yield from _file_system(check, there, name, holds_sqlite=holds_sqlite)


def examine_clock() -> Iterator[Finding]:
    """Look at this machine's clock."""
    if time.time() >= MADE_AFTER:
        yield ok("clock", "this machine's clock is set")
    else:
        yield fail(
            "clock", "this machine's clock is years behind", "set it, and let the machine take its time from NTP"
        )


def examine_secret_file(check: str, path: Path) -> Iterator[Finding]:
    """Look at who can read a file that holds a secret."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as exc:
        yield fail(check, f"{path} can't be read: {exc.strerror}", "let the user that runs Reelhook read it")
        return
    if mode & 0o007:
        yield warn(check, f"everybody on this machine can read {path} (mode {mode:04o})", f"chmod o-rwx {path}")
    else:
        yield ok(check, f"{path} is hidden from others (mode {mode:04o})")


def generated_secrets_file(data: Path) -> Path:
    """Return where the secrets that we make ourselves stand."""
    return data / SECRETS_FILE


def file_system(path: Path) -> str | None:
    """Return the kind of file system that a path lies on; None where the system does not tell."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    real = path.resolve()
    best: tuple[int, str | None] = (-1, None)
    for line in lines:
        # man 5 proc: the mount point is the fifth word, the type the first after a lone hyphen.
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].encode("latin-1", "replace").decode("unicode_escape"))
        if point == real or point in real.parents:
            best = max(best, (len(point.parts), after.split()[0]), key=lambda one: one[0])
    return best[1]


def _write_problem(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"reelhook")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        return exc.strerror or str(exc)
    return None


def _privacy(check: str, folder: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o007:
        says = f"everybody on this machine can look into {folder} (mode {mode:04o})"
        yield warn(f"{check}.mode", says, f"chmod o-rwx {folder}")
    else:
        yield ok(f"{check}.mode", f"{folder} is closed to others (mode {mode:04o})")


def _disk(check: str, folder: Path, name: str) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    says = f"{free // MEBIBYTE} MiB are free where {folder} lies"
    if free < LEAST_FREE:
        yield fail(f"{check}.disk", says, f"make room, or set {name} to a larger disk: callbacks get 503 soon")
    elif free < LOW_FREE:
        yield warn(f"{check}.disk", says, f"make room, or set {name} to a larger disk")
    else:
        yield ok(f"{check}.disk", says)


def _file_system(check: str, folder: Path, name: str, *, holds_sqlite: bool) -> Iterator[Finding]:
    kind = file_system(folder)
    check = f"{check}.file_system"
    if kind is None:
        yield ok(check, f"the system does not tell on which file system {folder} lies; it must be a local one")
    elif kind in NETWORKED or kind.startswith("fuse."):
        judge = fail if holds_sqlite and kind in NETWORKED else warn
        says = f"{folder} lies on {kind}: SQLite's locks don't hold on network file systems"
        yield judge(check, says, f"set {name} to a folder on a local disk")
    elif kind in FLEETING:
        says = f"{folder} lies on {kind}, in memory: what is kept there is lost at a restart of the machine"
        yield warn(check, says, f"set {name} to a folder on a disk")
    elif kind in LAYERED:
        says = f"{folder} lies on {kind}: where this is a container's own layer, it is lost with the container"
        yield warn(check, says, f"set {name} to a folder on a volume")
    else:
        yield ok(check, f"{folder} lies on {kind}")
