"""Limits are those of the settings of now: what waits already goes by them, too."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from planning import call, claim, plan, post
from rules_acting import CONFIGURATION, settings_of

from handlers.limits import Limits
from handlers.vendors import VENDORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from handlers.actions.channels import Channel
    from handlers.database import Database

    Pace = Callable[[Channel], int | None]

SEGMENT = {"quota": "main", "api": "UpdateSegment", "limit": 150.0, "lane": None}


@pytest.fixture
def paced(environ: Mapping[str, str], tmp_path: Path) -> Callable[[str], Pace]:
    """Return how the calls are paced by a text of settings."""

    def make(text: str) -> Pace:
        path = tmp_path / "reelhook.toml"
        path.write_text(text)
        keys = {
            "CLASSROOM_SECRET": "secret-0123456789",
            "SOME_KEY": "AK",
            "SOME_SECRET": "SK",
            "LESSONS_TOKEN": "t" * 16,
        }
        return Limits(settings_of(dict(environ) | keys | {"REELHOOK_CONFIG": str(path)}), VENDORS).interval_us

    return make


def apart(database: Database, pace: Pace, most: int = 32) -> set[int | None]:
    """Claim; return how far the calls are apart."""
    slots = [one.not_before for one in claim(database, most, ahead_us=60_000_000, pace=pace)]
    if None in slots:
        return {None}
    return {later - earlier for earlier, later in pairwise(sorted(slot for slot in slots if slot is not None))}


def test_a_destinations_rate_counts_for_what_waits_whatever_it_was_when_that_was_planned(
    database: Database, paced: Callable[[str], Pace]
) -> None:
    def mirror(rate: str) -> Pace:
        return paced(f'{CONFIGURATION}\n[destinations.mirror]\nkind = "http"\nurl = "https://a.example.com/"\n{rate}')

    had_one: dict[str, Any] = {"quota": "destination/mirror", "api": "", "limit": 1000.0}
    plan(database, *(post(number, destination="mirror") for number in range(6)))
    plan(database, *(post(number, destination="mirror", **had_one) for number in range(10, 16)))
    assert apart(database, mirror("rate = 5"), 8) == {208_333}, "whether it had a limit before or not: they share one"
    assert apart(database, mirror(""), 8) == {None}


def test_an_accounts_limits_count_for_what_waits(database: Database, paced: Callable[[str], Pace]) -> None:
    plan(database, *(call(number, account="classroom", **SEGMENT) for number in range(12)))
    lowered = CONFIGURATION.replace("[accounts.classroom]", "[accounts.classroom]\nlimits = { update_segment = 10 }")
    assert apart(database, paced(lowered), 4) == {104_167}
    assert apart(database, paced(CONFIGURATION), 4) == {6_944}


def test_of_what_is_not_configured_any_more_the_limit_stays_as_it_was_planned(
    database: Database, paced: Callable[[str], Pace]
) -> None:
    plan(database, *(call(number, account="gone", **SEGMENT | {"limit": 10.0}) for number in range(4)))
    assert apart(database, paced(CONFIGURATION)) == {104_167}
    plan(database, *(post(number, destination="gone", limit=10.0) for number in range(10, 14)))
    assert apart(database, paced(CONFIGURATION)) == {104_167}
