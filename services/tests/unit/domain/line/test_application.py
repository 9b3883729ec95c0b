from __future__ import annotations

import datetime as dt
from typing import get_args

import pytest

from shortlist.domain.line.application import (
    DEFAULT_PIPELINE,
    ApplicationId,
    ApplicationView,
    FinalStatus,
    Status,
    id_at,
    lowest_id_at,
    milliseconds_of,
)

NOON_MILLISECONDS = 1_795_780_800_000
MOST_CHANCE = (1 << 74) - 1


@pytest.mark.parametrize("chance", [0, 1, 1 << 62, MOST_CHANCE])
def test_an_id_is_a_version_7_uuid_that_tells_when_it_was_made(chance: int) -> None:
    made = id_at(NOON_MILLISECONDS, chance)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert milliseconds_of(made) == NOON_MILLISECONDS


def test_different_chance_makes_different_ids() -> None:
    chances = [0, 1, (1 << 62) - 1, 1 << 62, MOST_CHANCE]
    assert len({id_at(NOON_MILLISECONDS, chance) for chance in chances}) == len(chances)


def test_ids_of_a_time_lie_between_its_lowest_and_that_of_the_next_millisecond() -> None:
    lowest, above = lowest_id_at(NOON_MILLISECONDS), lowest_id_at(NOON_MILLISECONDS + 1)
    assert id_at(NOON_MILLISECONDS, 0) == lowest
    assert lowest < id_at(NOON_MILLISECONDS, MOST_CHANCE) < above


def test_nothing_was_made_before_1970() -> None:
    assert lowest_id_at(-1) == lowest_id_at(0)


def test_an_application_is_final_when_its_status_is() -> None:
    accepted_at = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
    application_id = ApplicationId(lowest_id_at(0))
    final = {
        status
        for status in get_args(Status)
        if ApplicationView(application_id, DEFAULT_PIPELINE, "Ada", status, 1, accepted_at).is_final
    }
    assert final == set(get_args(FinalStatus))
