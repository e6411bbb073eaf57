"""What happens to the tasks of Alibaba Cloud RTC: files in one or two formats, a new one each half hour or more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from standin.callbacks.aliyun import BUCKET, url_of
from standin.callbacks.diary import MINUTE, SECOND, Diary
from standin.callbacks.moments import to_name_text
from standin.callbacks.plan import File, Notice

if TYPE_CHECKING:
    from random import Random

    from standin.callbacks.plan import Task

#: FileSplitInterval is at least 1800 seconds
_SPLIT = 1_800 * SECOND
_LONGEST = 120 * MINUTE


def live(diary: Diary, number: int, chance: Random) -> None:
    """Write down the life of the n-th task: nothing is told but its files, by HTTP or through a queue."""
    task = diary.named("aliyun", "record", number, name="task")
    if number % 5 == 3:  # channels may have any name; in a URL it is percent-encoded
        task = replace(task, room_id=f"{task.room_id} 语文")
    door = "mns" if diary.queue and number % 2 else "http"
    at = diary.moment(chance, before_end=_LONGEST) // SECOND * SECOND
    formats = chance.choice((("m3u8",), ("mp4",), ("m3u8", "mp4"), ("flv",)))
    count = chance.randrange(1, 4)
    for position in range(count):
        length = _SPLIT if position < count - 1 else chance.randrange(60, 1_800) * SECOND
        for form in formats:
            file = _file(task, form, at, at + length, chance)
            told = at + length + chance.randrange(1, 20) * SECOND
            diary.tell(Notice(number=0, task=task, word="FileCreated", at=told, says="files", door=door, files=(file,)))
        at += length + SECOND


def _file(task: Task, form: str, start: int, stop: int, chance: Random) -> File:
    name = f"{to_name_text(start + 2 * SECOND)}_{to_name_text(stop + 10 * SECOND)}.{form}"
    key = f"record/{task.app_id}/{task.room_id}_{task.task_id}/{name}"
    return File(
        key=key,
        format=form,
        started_at=start,
        ended_at=stop,
        # The vendor's own samples differ by some tenths of a second from what lies between start and stop.
        duration_ms=stop - start + chance.randrange(-700, 700),
        storage="oss",
        bucket=BUCKET,
        region="cn-shanghai",
        url=url_of(key),
    )
