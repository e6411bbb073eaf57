"""What the settings add to a recording whose delivery does not tell where its file lies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from handlers.errors import UnreadableDelivery
from handlers.storage.locate import locate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handlers.events import Recording, TaskKey
    from handlers.settings import Storage


def resolve(
    recording: Recording,
    task: TaskKey,
    account: str,
    storages: Sequence[Storage],
    business_id: str | None = None,
) -> Recording:
    """Return the recording with its storage, bucket, region and key, as far as the settings know them.

    What the delivery tells stands, and the locator never changes: it comes from the delivery alone.
    Without a bucket the first storage whose `match` fits the task is taken, and the key is the path of the
    URL. With a bucket, the first storage of that kind and bucket adds the region.
    """
    if recording.bucket is not None:
        return _with_region(recording, storages)
    key = recording.key if recording.key is not None else _path(recording.url)
    if key is None:
        return recording
    for storage in storages:
        if _matches(storage, task, account, business_id):
            return replace(recording, storage=storage.kind, bucket=storage.bucket, region=storage.region, key=key)
    return recording


def region_of(bucket: str | None, storages: Sequence[Storage]) -> str | None:
    """Return the region of the bucket where the settings know one bucket of this name."""
    regions = {storage.region for storage in storages if storage.bucket == bucket}
    return regions.pop() if len(regions) == 1 else None


def _with_region(recording: Recording, storages: Sequence[Storage]) -> Recording:
    if recording.region is not None:
        return recording
    for storage in storages:
        if (storage.kind, storage.bucket) == (recording.storage, recording.bucket):
            return replace(recording, region=storage.region)
    return recording


def _path(url: str | None) -> str | None:
    try:
        return locate(url).path if url else None
    except UnreadableDelivery:
        return None


def _matches(storage: Storage, task: TaskKey, account: str, business_id: str | None) -> bool:
    """Tell whether every key that the storage's `match` gives fits; one that gives none fits every task."""
    match = storage.match
    told = (
        (match.account, account),
        (match.app_id, task.app_id),
        (match.business_id, business_id),
        (match.type, task.type),
    )
    return all(wanted is None or wanted == came for wanted, came in told) and task.task_id.startswith(
        match.task_prefix or ""
    )
