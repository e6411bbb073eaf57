"""What is secret, where its value comes from, and that it is never shown.

A secret is named by a reference: `env:NAME`, `file:PATH`, or the place where we made or found it ourselves.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from handlers.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

#: where generated secrets stand in the data folder
SECRETS_FILE = "secrets.json"
#: random bytes of a generated secret: 43 characters, within the 32..64 that Huawei's console takes as auth_key
#: (https://support.huaweicloud.com/usermanual-rtc/rtc_04_0007.html)
STRENGTH = 32

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_BYTES = 65_536
# A file changed twice within one tick of the file system's clock keeps its stamp; what is younger is read each time.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that shows only its reference; two are equal if their references are."""

    #: `env:NAME`, `file:PATH`, or the place of a value that was written out
    reference: str
    _read: Callable[[], str] = field(compare=False)

    @classmethod
    def literal(cls, value: str, *, reference: str = "literal") -> Secret:
        """Make a secret of a value at hand; the reference is what will be shown of it."""
        return cls(reference, lambda: value)

    @classmethod
    def refer(cls, reference: str, *, environ: Mapping[str, str], folder: Path) -> Secret:
        """Make a secret of `env:NAME` or `file:PATH`, a relative PATH counting from `folder`.

        Raises SettingsError, without the value, when the reference is neither, or nothing stands there.
        """
        kind, _, name = reference.partition(":")
        if kind == "env":
            return _variable(reference, name, environ)
        if kind == "file" and name:
            file = _SecretFile(folder / name)
            file.read()
            return cls(reference, file.read)
        raise _unusable(
            'a secret is not written out here; write "env:NAME" (an environment variable) or "file:PATH" (a file)'
        )

    def reveal(self) -> str:
        """Return the value, never empty; a file is read again once it has changed.

        While a file is missing, empty or unreadable later on, its last value goes on being used.
        """
        return self._read()

    def __repr__(self) -> str:
        """Show the reference only."""
        return f"Secret({self.reference})"


def _unusable(sentence: str) -> SettingsError:
    return SettingsError([sentence])


def _variable(reference: str, name: str, environ: Mapping[str, str]) -> Secret:
    if not _VARIABLE.fullmatch(name):
        raise _unusable('what follows "env:" is no name of an environment variable (letters, digits, "_")')
    value = environ.get(name, "")
    if not value:
        raise _unusable(f"the environment variable {name} is not set or empty")
    return Secret.literal(value, reference=reference)


class _SecretFile:
    """One file's value, read again when the file's time, size or inode changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: tuple[tuple[int, int, int] | None, str] | None = None

    def read(self) -> str:
        kept = self._kept
        try:
            now = self._path.stat()
            stamp = (now.st_mtime_ns, now.st_size, now.st_ino)
            if kept and kept[0] == stamp:
                return kept[1]
            value = _file_value(self._path, now)
        except OSError as exc:
            if kept:
                return kept[1]
            raise _unusable(f"the file {self._path} can't be read: {exc.strerror}") from exc
        except SettingsError:
            if kept:
                return kept[1]
            raise
        settled = abs(time.time_ns() - now.st_mtime_ns) > _SETTLED_NS
        self._kept = (stamp if settled else None, value)
        return value


def _file_value(path: Path, now: os.stat_result) -> str:
    if not stat.S_ISREG(now.st_mode):
        raise _unusable(f"{path} is no regular file")
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise _unusable(f"the file {path} is larger than {_MOST_BYTES} bytes; expected one secret")
    try:
        value = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        # Without the cause: its text quotes bytes of the file.
        raise _unusable(f"the file {path} is not UTF-8 text; expected one secret") from None
    if not value:
        raise _unusable(f"the file {path} is empty; expected one secret")
    return value


@dataclass(frozen=True, kw_only=True)
class GeneratedSecrets:
    """Secrets that we made ourselves because none were configured."""

    values: Mapping[str, Secret]
    #: some of them were made just now, by this call
    made_now: bool


def generated_secrets(data: Path, names: Sequence[str], *, create: bool) -> GeneratedSecrets:
    """Return the secrets of these names from the data folder, made first where they are missing.

    Any number of processes may start at once: all get the same values, and one of them `made_now`.
    With `create` false nothing is written, and what was not made yet is left out.
    Raises SettingsError when the file is damaged or can't be written.
    """
    path = data / SECRETS_FILE
    try:
        known = _kept_secrets(path)
        made_now = False
        if create and known:
            _hide(path)
        if create and not known.keys() >= set(names):
            make_data_folder(data)
            with _lock(data / "secrets.lock"):
                known, made_now = _completed(path, names)
    except OSError as exc:
        raise _unusable(f"REELHOOK_DATA: {path} can't be read or written: {exc.strerror}") from exc
    values = {name: Secret.literal(known[name], reference=f"{SECRETS_FILE}:{name}") for name in names if name in known}
    return GeneratedSecrets(values=MappingProxyType(values), made_now=made_now)


def make_data_folder(data: Path) -> None:
    """Make the data folder, for its owner only, unless it is there; raise SettingsError where that fails."""
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            data.mkdir(mode=0o700)
    except OSError as exc:
        raise _unusable(f"REELHOOK_DATA: the folder {data} can't be made: {exc.strerror}: {exc.filename}") from exc
    if not data.is_dir():
        raise _unusable(f"REELHOOK_DATA: {data} is a file; expected a folder")


def _completed(path: Path, names: Sequence[str]) -> tuple[dict[str, str], bool]:
    known = _kept_secrets(path)
    missing = [name for name in names if name not in known]
    if not missing:
        return known, False
    known.update((name, secrets.token_urlsafe(STRENGTH)) for name in missing)
    _replace(path, json.dumps(known, indent=2) + "\n")
    return known, True


def _kept_secrets(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict) or not all(isinstance(value, str) and value for value in known.values()):
        raise _unusable(
            f"REELHOOK_DATA: {path} is damaged; expected a JSON object of names and secrets: "
            "put it back from a backup, or delete it to have new secrets made"
        )
    return known


def _hide(path: Path) -> None:
    """Take from others what a restored backup may have given them: the right to read."""
    if path.stat().st_mode & 0o077:
        with suppress(PermissionError):
            path.chmod(0o600)


def _replace(path: Path, text: str) -> None:
    """Write the file whole or not at all, durably, readable by its owner only."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
