"""What happens to the tasks of Volcengine RTC: recordings, users recorded each day, audio slices, pushes to a CDN."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from standin.callbacks.diary import DAY, HOUR, MINUTE, SECOND, USERS, Diary
from standin.callbacks.plan import File, Notice, Slice, Stream, Task

if TYPE_CHECKING:
    from random import Random

_SLICE = 20 * SECOND
#: longest times from the start of a task to the last that is told of it
_LONGEST_RECORD = 100 * MINUTE
_LONGEST_REST = 20 * MINUTE


def live(diary: Diary, number: int, chance: Random) -> None:
    """Write down the life of the n-th task: what it is goes by its number, how it goes by chance."""
    lives = (_record, _segments, _auto_record, _push, _record, _failed_start, _record_twice)
    lives[number % len(lives)](diary, number, chance)


def _notice(task: Task, word: str, at: int, says: str, **more: object) -> Notice:
    return Notice(number=0, task=task, word=word, at=at, says=says, **more)  # type: ignore[arg-type] # fields by name


def _record(diary: Diary, number: int, chance: Random) -> None:
    task = diary.named("volcengine", "record", number, name="lesson", business_id="school")
    _run(diary, task, diary.moment(chance, before_end=_LONGEST_RECORD), chance)


def _record_twice(diary: Diary, number: int, chance: Random) -> None:
    """Use one TaskId for two lessons, the later one beginning soon after the first."""
    task = diary.named("volcengine", "record", number, name="again")
    over = _run(diary, task, diary.moment(chance, before_end=2 * _LONGEST_RECORD), chance)
    _run(diary, task, over + chance.randrange(2 * MINUTE, 20 * MINUTE), chance)


def _auto_record(diary: Diary, number: int, chance: Random) -> None:
    """Record a user each day of a week, as the console's automatic recording does: the TaskId is the UserId."""
    task = diary.named("volcengine", "record", number, name=chance.choice(USERS))
    for ago in range(7, 0, -1):
        start = diary.ends_at - ago * DAY + chance.randrange(18 * HOUR)
        _run(diary, task, start, chance)


def _failed_start(diary: Diary, number: int, chance: Random) -> None:
    task = diary.named("volcengine", "record", number, name="failing", business_id="school")
    at = diary.moment(chance, before_end=_LONGEST_RECORD)
    told = (("Code", 1), ("ErrorMessage", "no stream in the room"))
    diary.tell(_notice(task, "RecordStarted", at, "failed", begins=True, fields=told))
    if chance.random() < 0.5:  # somebody tries again, and it works
        _run(diary, task, at + chance.randrange(10 * SECOND, 5 * MINUTE), chance)


def _run(diary: Diary, task: Task, start: int, chance: Random) -> int:
    """Write down one recording from its start to its upload; return when the last of it is told."""
    stop = start + chance.randrange(5 * MINUTE, 70 * MINUTE)
    users = chance.sample(USERS, chance.randrange(1, 4))
    diary.tell(_notice(task, "UserJoinRoom", start - SECOND, "other", fields=(("UserId", users[0]),)))
    diary.tell(_notice(task, "RecordStarted", start, "running", begins=True))
    files = _files(task, start, stop, users, chance)
    if files and chance.random() < 0.3:
        early = tuple(_still_growing(file) for file in files)
        diary.tell(
            _notice(task, "RecordSyncUploadStarted", start + 40 * SECOND, "upload", files=early, upload="uploading")
        )
        if chance.random() < 0.3:
            diary.tell(_notice(task, "RecordSyncUploadFailed", start + 2 * MINUTE, "upload", upload="failed"))
    for user in users:
        medium = chance.choice(("Audio", "Video"))
        at = chance.randrange(start + SECOND, stop)
        told = (("UserId", user), ("StreamType", 0), ("State", chance.randrange(2)), ("Timestamp", at))
        diary.tell(_notice(task, f"Record{medium}StreamStateChanged", at, "other", fields=told))
    if chance.random() < 0.1:
        broken = (("Code", 1), ("ErrorMessage", "the recorder broke"))
        diary.tell(_notice(task, "RecordStopped", stop, "failed", files=files, fields=broken))
    else:
        diary.tell(_notice(task, "RecordStopped", stop, "stopped", files=files))
    return _upload(diary, task, stop, chance)


def _files(task: Task, start: int, stop: int, users: list[str], chance: Random) -> tuple[File, ...]:
    """Return one file for each user, or one for all; now and then none, for nothing was recorded.

    A file's first picture may be a little older than the word that its recording has started.
    """
    if chance.random() < 0.1:
        return ()
    on_demand = chance.random() < 0.15
    form = chance.choice(("mp4", "m3u8", "flv", "m4a"))
    groups = [users] if chance.random() < 0.5 else [[user] for user in users]
    files = []
    for position, group in enumerate(groups):
        begun = start + chance.randrange(-2_000, 3_000)
        length = max(stop - begun - chance.randrange(5_000), 1_000)
        key = f"{task.task_id}/{task.room_id}_{begun}_{position}.{form}"
        files.append(
            File(
                key="" if on_demand else key,
                vid=f"v0{task.task_id}{begun}{position}" if on_demand else "",
                format=None if on_demand else form,
                started_at=begun,
                duration_ms=length,
                ended_at=begun + length,
                size_bytes=length * chance.randrange(20, 200),
                streams=tuple(Stream(user_id=user, source=chance.choice(("camera", "screen"))) for user in group),
                media=(("width", 640), ("height", 360), ("video_codec", "h264"), ("audio_codec", "aac")),
            )
        )
    return tuple(files)


def _still_growing(file: File) -> File:
    return replace(file, duration_ms=None, ended_at=None, size_bytes=None)


def _upload(diary: Diary, task: Task, stop: int, chance: Random) -> int:
    at = stop + chance.randrange(500, 3_000)
    diary.tell(_notice(task, "RecordUploadStarted", at, "upload", upload="uploading"))
    minutes = chance.choice((0, 0, 1, 3))
    for minute in range(1, minutes + 1):
        at += MINUTE
        progress = (("Progress", 10_000 * minute // (minutes + 1)),)
        diary.tell(_notice(task, "RecordUploadProcessing", at, "upload", upload="uploading", fields=progress))
    at += chance.randrange(2_000, 50_000)
    end = chance.random()
    if end < 0.75:
        # The vendor's own sample of it carries a Code 1, which means nothing.
        code = (("Code", chance.choice((0, 0, 1))),)
        diary.tell(_notice(task, "RecordUploadDone", at, "upload", upload="done", fields=code))
    elif end < 0.9:
        diary.tell(_notice(task, "RecordUploadBackuped", at, "upload", upload="backed_up"))
    return at


def _segments(diary: Diary, number: int, chance: Random) -> None:
    """Cut one or two lessons into slices; the second, hours later, has another Identifier, maybe two of them."""
    task = diary.named("volcengine", "segment", number, name="slices", business_id="school")
    start = diary.moment(chance, before_end=_LONGEST_REST)
    _slices(diary, task, start, chance, identifier=f"{task.task_id}.a")
    if chance.random() < 0.7:
        later = start + chance.randrange(HOUR, 5 * HOUR)
        over = _slices(diary, task, later, chance, identifier=f"{task.task_id}.b")
        if chance.random() < 0.5:  # as UpdateSegment does
            _slices(diary, task, over, chance, identifier=f"{task.task_id}.c")


def _slices(diary: Diary, task: Task, start: int, chance: Random, *, identifier: str) -> int:
    users = [*chance.sample(USERS, chance.randrange(1, 4)), "mixed"]
    at = start
    for _ in range(chance.randrange(4, 12)):
        slices = tuple(
            Slice(
                key=f"{identifier}/{user}_{at}.wav",
                bucket="s-lessons",
                identifier=identifier,
                user_id=user,
                started_at=at,
                duration_ms=_SLICE,
                size_bytes=chance.randrange(100_000, 700_000),
            )
            for user in users
        )
        at += _SLICE
        diary.tell(_notice(task, "SegmentRealTimeData", at, "segments", slices=slices))
    return at


def _push(diary: Diary, number: int, chance: Random) -> None:
    task = diary.named("volcengine", "push", number, name="push")
    at = diary.moment(chance, before_end=2 * HOUR)
    for _ in range(chance.randrange(1, 3)):
        at = _push_run(diary, task, at, chance) + 20 * MINUTE


def _push_run(diary: Diary, task: Task, start: int, chance: Random) -> int:
    at = start
    diary.tell(_notice(task, "TranscodeStarted", at, "running", begins=True))
    for state in (3, *chance.choices((2, 3, 4), k=chance.randrange(3))):
        at += chance.randrange(SECOND, 5 * MINUTE)
        told = (("StartTime", start), ("FinishTime", 0), ("TaskState", state))
        diary.tell(_notice(task, "TranscodeStateChanged", at, "running", fields=told))
    at += chance.randrange(SECOND, 5 * MINUTE)
    diary.tell(_notice(task, "TranscodeUpdated", at, "other"))
    if chance.random() < 0.9:
        at += chance.randrange(MINUTE, 10 * MINUTE)
        if chance.random() < 0.5:
            over = (("StartTime", start), ("FinishTime", at), ("TaskState", 1))
            diary.tell(_notice(task, "TranscodeStateChanged", at - 5, "stopped", fields=over))
        diary.tell(_notice(task, "TranscodeStopped", at, "stopped"))
    return at
