"""The fields that hold one word of a few: a condition that asks for another never holds."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, get_args

from handlers.events import DOORS, KINDS, RECORDING_STATES, TASK_STATES, PushState, Source, TaskType, UploadState
from handlers.rules.change import ACCOUNT, EVENT, FIELDS, RECORDING, TASK
from handlers.settings.values import listed, meant, quoted
from handlers.storage.locate import StorageKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

VENDOR: Final = "vendor"
TYPES: Final[tuple[str, ...]] = get_args(TaskType)

#: by view and field
_WORDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = MappingProxyType(
    {
        (EVENT, "kind"): KINDS,
        (EVENT, "source"): get_args(Source),
        (EVENT, "medium"): ("audio", "video"),
        (EVENT, "upload"): get_args(UploadState),
        (EVENT, "push_state"): get_args(PushState),
        (EVENT, "door"): DOORS,
        (EVENT, "type"): TYPES,
        (TASK, "type"): TYPES,
        (TASK, "state"): TASK_STATES,
        (TASK, "upload"): get_args(UploadState),
        (RECORDING, "storage"): get_args(StorageKind),
        (RECORDING, "state"): RECORDING_STATES,
    }
)
#: of the streams of a recording or segment
SOURCES: Final[tuple[str, ...]] = get_args(Source)


def words_of(view: str, field: str, configured: Mapping[str, Collection[str]]) -> Collection[str] | None:
    """Return the words that a field can hold; None: any.

    `configured` are the vendors and accounts that there are, as `vendor` and `account`; what it lacks may be any.
    """
    if field in {VENDOR, ACCOUNT} and field in FIELDS.get(view, ()):
        return configured.get(field)
    return _WORDS.get((view, field))


def never(what: str, word: str, known: Collection[str], *, absent: str = "") -> str:
    """Say that a field never holds a word; of an empty one also what is to be written instead, as `absent` says."""
    cure = f"; what is absent is null: {absent}" if absent and not word else ""
    return f"{what} is never {quoted(word)}{meant(word, known)}; known: {listed(known)}{cure}"
