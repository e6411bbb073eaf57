"""What happens in a world: tasks, their files and slices, and what the vendors have to tell of them.

This is what is true, before any callback is written: the callbacks are composed from it, and so, by another road, is
what a right catalogue must hold in the end. Times are integer milliseconds UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TaskType = Literal["record", "segment", "push"]
#: what it tells of its run: how it stands, or one of the things that belong to it
Says = Literal["running", "stopped", "failed", "upload", "files", "segments", "other"]
Upload = Literal["uploading", "failed", "backed_up", "done"]


@dataclass(frozen=True, kw_only=True, order=True)
class Task:
    """The vendor's name of a job, which may be used for one run after the other."""

    vendor: str
    type: TaskType
    app_id: str
    room_id: str
    task_id: str
    business_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A participant's picture or sound; the source is camera, screen, or not told."""

    user_id: str
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    """A recorded file, as it is told of at one moment."""

    #: the object's key; a file on demand (VOD) has a vid instead
    key: str = ""
    vid: str = ""
    format: str | None
    started_at: int
    #: not known while the file grows
    duration_ms: int | None = None
    ended_at: int | None = None
    size_bytes: int | None = None
    streams: tuple[Stream, ...] = ()
    #: picture and sound, by our names of them
    media: tuple[tuple[str, str | int], ...] = ()
    #: where it lies, as far as the vendor tells
    storage: str | None = None
    bucket: str | None = None
    region: str | None = None
    url: str | None = None

    @property
    def name(self) -> str:
        """What tells the file from others of its task."""
        return self.key or self.vid


@dataclass(frozen=True, kw_only=True)
class Slice:
    """An audio slice."""

    key: str
    bucket: str
    identifier: str
    #: mixed: the mix of all
    user_id: str
    started_at: int
    duration_ms: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One thing that a vendor has to tell."""

    #: unique in the world; ids of events and messages are made from it
    number: int
    task: Task
    #: the vendor's word
    word: str
    #: when it happened, and was told
    at: int
    says: Says
    #: a run begins here
    begins: bool = False
    door: str = "http"
    files: tuple[File, ...] = ()
    slices: tuple[Slice, ...] = ()
    upload: Upload | None = None
    #: whatever else the vendor's event has, by the vendor's names
    fields: tuple[tuple[str, str | int], ...] = ()
    #: made up by a stranger: it must be refused
    forged: bool = False
