from __future__ import annotations

import random

import pytest

from shortlist.storage.postgres.queries.hiring.floors import MOST, after_join, after_leave


def key(number: int) -> bytes:
    return number.to_bytes(2, "big")


def holds(floors: tuple[bytes, ...], line: set[bytes]) -> bool:
    """One waits at each but the last at most, all others at the last or behind; none in front."""
    return list(floors) == sorted(set(floors)) and all(
        waiting in floors[:-1] or waiting >= floors[-1] for waiting in line if floors
    )


@pytest.mark.parametrize("seed", range(20))
def test_no_placement_ever_waits_under_the_floors(seed: int) -> None:
    chance = random.Random(seed)
    line: set[bytes] = set()
    floors: tuple[bytes, ...] = ()
    for number in chance.sample(range(60_000), 600):
        if line and chance.random() < 0.45:
            first = min(line)
            gone = first if chance.random() < 0.7 else chance.choice(sorted(line))
            line.discard(gone)
            floors = after_leave(floors, gone, was_first=gone == first)
        else:
            floors = after_join(floors, key(number), others=len(line))
            line.add(key(number))
        assert holds(floors, line)
        assert len(floors) <= MOST
        assert not line or floors[0] <= min(line)


def test_the_first_floor_follows_the_head_as_places_are_filled() -> None:
    floors: tuple[bytes, ...] = ()
    for number in range(100):
        floors = after_join(floors, key(number), others=number)
    for number in range(50):
        floors = after_leave(floors, key(number), was_first=True)
    assert floors == (key(49),)


def test_who_joins_an_empty_line_is_its_floor_whatever_stood_there() -> None:
    assert after_join((key(7), key(9)), key(3), others=0) == (key(3),)


def test_without_floors_nothing_is_known_until_the_head_leaves() -> None:
    assert after_join((), key(3), others=5) == ()
    assert after_leave((), key(3), was_first=False) == ()
    assert after_leave((), key(3), was_first=True) == (key(3),)
