"""The settings tell where a file lies when its delivery does not."""

from __future__ import annotations

from typing import Any

import pytest

from handlers.events import Recording, TaskKey
from handlers.settings import Storage
from handlers.storage.locate import locate
from handlers.storage.resolve import resolve

TASK = TaskKey(vendor="aliyun", app_id="9q1x", room_id="lesson-7", type="record", task_id="math-1")


def storage(name: str, **values: Any) -> Storage:
    given = {"name": name, "kind": "oss", "region": "cn-shanghai", "bucket": f"{name}-bucket", "match": {}}
    return Storage.model_validate(given | values)


def recording(url: str) -> Recording:
    found = locate(url)
    return Recording(
        locator=found.locator,
        url=found.url,
        storage=found.kind,
        bucket=found.bucket,
        region=found.region,
        key=found.key,
    )


CNAME = recording("https://media.example.com/record/%E8%AF%BE.mp4")


def test_a_customers_own_domain_takes_bucket_and_region_from_the_matching_storage() -> None:
    resolved = resolve(CNAME, TASK, "lessons", [storage("one", match={"account": "lessons"})])
    place = (resolved.storage, resolved.bucket, resolved.region, resolved.key)
    assert place == ("oss", "one-bucket", "cn-shanghai", "record/课.mp4")


def test_the_locator_and_the_url_never_change() -> None:
    resolved = resolve(CNAME, TASK, "lessons", [storage("one")])
    assert (resolved.locator, resolved.url) == (CNAME.locator, CNAME.url)


@pytest.mark.parametrize(
    "match",
    [
        {"account": "lessons"},
        {"app_id": "9q1x"},
        {"business_id": "school"},
        {"task_prefix": "math-"},
        {"type": "record"},
        {"account": "lessons", "app_id": "9q1x", "business_id": "school", "task_prefix": "math", "type": "record"},
        {},
    ],
)
def test_a_storage_matches_by_all_keys_that_it_gives(match: dict[str, str]) -> None:
    assert resolve(CNAME, TASK, "lessons", [storage("one", match=match)], "school").bucket == "one-bucket"


@pytest.mark.parametrize(
    "match",
    [
        {"account": "9q1x"},
        {"app_id": "lessons"},
        {"business_id": "other"},
        {"task_prefix": "ath"},
        {"type": "segment"},
        {"account": "lessons", "app_id": "other"},
    ],
)
def test_one_key_that_differs_is_no_match(match: dict[str, str]) -> None:
    assert resolve(CNAME, TASK, "lessons", [storage("one", match=match)], "school") == CNAME


def test_a_storage_that_asks_for_a_business_does_not_match_an_event_that_names_none() -> None:
    assert resolve(CNAME, TASK, "lessons", [storage("one", match={"business_id": "school"})]) == CNAME


def test_the_first_match_wins() -> None:
    storages = [storage("none", match={"account": "x"}), storage("one"), storage("two")]
    assert resolve(CNAME, TASK, "lessons", storages).bucket == "one-bucket"


def test_a_bucket_that_the_delivery_tells_stands() -> None:
    told = recording("https://lessons.oss-cn-hangzhou.aliyuncs.com/a.mp4")
    assert resolve(told, TASK, "lessons", [storage("one"), storage("two", bucket="lessons")]) == told


def test_a_known_bucket_without_a_region_takes_it_from_the_storage_of_that_bucket() -> None:
    told = recording("https://lessons.oss-accelerate.aliyuncs.com/a.mp4")
    storages = [
        storage("other"),
        storage("same-name", kind="s3", bucket="lessons", region="us-west-2"),
        storage("lessons", bucket="lessons", region="cn-beijing", match={"account": "somebody"}),
    ]
    assert resolve(told, TASK, "lessons", storages).region == "cn-beijing"
    assert resolve(told, TASK, "lessons", storages[:2]) == told


def test_a_key_that_the_delivery_tells_is_not_replaced_by_the_path() -> None:
    told = Recording(locator="x", key="told.mp4", url="https://media.example.com/path.mp4")
    resolved = resolve(told, TASK, "lessons", [storage("one")])
    assert (resolved.bucket, resolved.key) == ("one-bucket", "told.mp4")


def test_a_recording_that_names_neither_key_nor_url_stays_as_it_is() -> None:
    told = Recording(locator="vid:v1", vid="v1")
    assert resolve(told, TASK, "lessons", [storage("one")]) == told


def test_no_storages_change_nothing() -> None:
    assert resolve(CNAME, TASK, "lessons", []) == CNAME
