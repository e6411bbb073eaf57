"""What happens to the jobs of Huawei Cloud RTC: a stream is recorded into one file after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from standin.callbacks.diary import MINUTE, SECOND, USERS
from standin.callbacks.huawei import BUCKET, placed
from standin.callbacks.moments import to_name_text
from standin.callbacks.plan import File, Notice, Stream

if TYPE_CHECKING:
    from random import Random

    from standin.callbacks.diary import Diary
    from standin.callbacks.plan import Task

_LONGEST = 150 * MINUTE


def live(diary: Diary, number: int, chance: Random) -> None:
    """Write down the life of the n-th job. Its times are whole seconds, as its callbacks write them."""
    task = diary.named("huawei", "record", number, name="job")
    formats = chance.choice((("HLS",), ("MP4",), ("HLS", "MP4")))
    job = _Job(diary=diary, task=task, user=chance.choice(USERS), formats=formats, chance=chance)
    job.live()


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One job, which records one user's stream in one format or two."""

    diary: Diary
    task: Task
    user: str
    formats: tuple[str, ...]
    chance: Random

    def live(self) -> None:
        """Record some files; whether the end is told goes by chance."""
        at = self.diary.moment(self.chance, before_end=_LONGEST) // SECOND * SECOND
        for _ in range(self.chance.randrange(1, 4)):
            at = self._one_file(at)
        if self.chance.random() < 0.8:
            word = self.chance.choice(("CLOUD_RECORD_SERVER_OVER", "CLOUD_RECORD_OVER"))
            self._tell(Notice(number=0, task=self.task, word=word, at=at + 5 * SECOND, says="stopped"))

    def _one_file(self, start: int) -> int:
        """Tell of a file's start and end in each format; now and then an HLS file goes on after a break.

        That a file starts tells that the job runs, not that it begins: the vendor says so of each file.
        """
        begun = Notice(number=0, task=self.task, word="RECORD_NEW_FILE_START", at=start, says="running")
        self._tell(begun, record_format=self.formats[0])
        stop = start + self.chance.randrange(60, 2_400) * SECOND
        for form in self.formats:
            file = self._file(form, start, stop)
            self._complete(file, form)
            if form == "HLS" and self.chance.random() < 0.3:
                stop += self.chance.randrange(60, 600) * SECOND
                size = (file.size_bytes or 0) * 2
                longer = replace(file, ended_at=stop, duration_ms=stop - start - 30 * SECOND, size_bytes=size)
                self._complete(longer, form)
        return stop + self.chance.randrange(2, 60) * SECOND

    def _file(self, form: str, start: int, stop: int) -> File:
        stem = f"s_{self.task.task_id}_{self.task.room_id}_{self.user}_{to_name_text(start)}"
        extension = {"HLS": "m3u8", "MP4": "mp4"}[form]
        key = f"Record/{self.task.app_id}/{form.lower()}/{stem}/{stem}.{extension}"
        return File(
            key=key,
            format=extension,
            started_at=start,
            duration_ms=stop - start,
            ended_at=stop,
            size_bytes=self.chance.randrange(1_000_000, 90_000_000),
            streams=(Stream(user_id=self.user),),
            media=(("width", 1280), ("height", 720)),
            storage="obs",
            bucket=BUCKET,
            region="cn-north-4",
            url=str(placed(BUCKET, key)["download_url"]),
        )

    def _complete(self, file: File, form: str) -> None:
        at = (file.ended_at or file.started_at) + SECOND
        told = Notice(number=0, task=self.task, word="RECORD_FILE_COMPLETE", at=at, says="files", files=(file,))
        self._tell(told, record_format=form)

    def _tell(self, notice: Notice, **fields: str) -> None:
        self.diary.tell(replace(notice, fields=(("user_id", self.user), *fields.items())))
