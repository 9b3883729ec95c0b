from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.domain.hiring.ordering import (
    LineKey,
    between,
    inserted,
    joined,
    new_position,
)
from shortlist.domain.hiring.placement import PlacementId

ONE = PlacementId(1)


def key(ordinal: str, *, misses: int = 0, rank: float = 0.0, placement: int = 1) -> LineKey:
    return LineKey(misses, rank, Decimal(ordinal), PlacementId(placement))


@pytest.mark.parametrize(
    ("waiting", "misses", "expected"),
    [(0, 1, 2), (0, 7, 8), (3, 1, 5), (3, 2, 6), (100, 1, 102)],
)
def test_new_position_is_max_plus_one_plus_the_new_count(
    waiting: int, misses: int, expected: int
) -> None:
    assert new_position(waiting, misses) == expected


def test_a_fifo_line_is_by_when_they_joined_whatever_their_score_and_misses() -> None:
    keys = [
        joined("fifo", PlacementId(5), sequence=3, applied_sequence=3, score=1.0),
        joined("fifo", PlacementId(4), sequence=9, applied_sequence=9, score=99.0),
        joined("fifo", PlacementId(3), sequence=12, applied_sequence=2, misses=4, score=100.0),
    ]
    assert keys == sorted(keys)


def test_a_score_line_is_by_misses_then_score_then_who_applied_first_the_unscored_last() -> None:
    def scored(number: int, score: float | None, misses: int = 0) -> LineKey:
        return joined(
            "score",
            PlacementId(number),
            sequence=100 - number,
            applied_sequence=number,
            misses=misses,
            score=score,
        )

    keys = [
        scored(4, 100.0),
        scored(1, 87.5),
        scored(3, 87.5),
        scored(9, 0.0),
        scored(2, None),
        scored(5, None),
        scored(6, 100.0, misses=1),
        scored(7, None, misses=1),
        scored(8, 100.0, misses=2),
    ]
    assert keys == sorted(keys)


ORDINALS = st.decimals(-1000, 1000, places=6)


@given(ORDINALS, ORDINALS)
def test_there_is_always_a_number_between_two_and_a_short_one(one: Decimal, other: Decimal) -> None:
    if one != other:
        low, high = sorted((one, other))
        middle = between(low, high)
        assert low < middle < high
        places = -int(middle.as_tuple().exponent)
        if places > 0:  # with a digit fewer there is none
            step = Decimal(1).scaleb(1 - places)
            assert ((low / step).to_integral_value(ROUND_FLOOR) + 1) * step >= high


def test_the_same_gap_takes_a_thousand_moves_at_a_digit_for_three() -> None:
    low, high = Decimal(17), Decimal(18)
    for turn in range(1000):
        middle = between(low, high)
        assert low < middle < high
        low, high = (middle, high) if turn % 2 else (low, middle)
    assert len(str(low)) < 420


def test_one_is_put_between_its_new_neighbours() -> None:
    otherwise = key("50", placement=9)
    line = [key("3", placement=2), key("4", placement=3), key("9", placement=4)]
    for previous, following in pairwise([None, *line, None]):
        put = inserted(previous, following, otherwise=otherwise)
        assert previous is None or previous < put
        assert following is None or put < following
        assert put.placement_id == 9
    assert inserted(None, None, otherwise=otherwise) == otherwise


def test_one_is_put_between_unlike_neighbours_in_a_line_by_score() -> None:
    otherwise = key("50", misses=3, rank=1.0, placement=9)
    line = [
        key("30", rank=-90.0, placement=2),
        key("4", rank=-80.0, placement=3),
        key("5", rank=-80.0, placement=4),
        key("1", rank=1.0, placement=5),
        key("2", misses=1, rank=-99.0, placement=6),
    ]
    for previous, following in pairwise([None, *line, None]):
        put = inserted(previous, following, otherwise=otherwise)
        assert previous is None or previous < put
        assert following is None or put < following


def test_keys_that_an_undone_act_made_equal_stay_in_order_by_placement() -> None:
    assert key("17.5", placement=1) < key("17.5", placement=2)
    put = inserted(
        key("17.5", placement=1), key("17.5", placement=2), otherwise=key("50", placement=9)
    )
    assert put.ordinal == Decimal("17.5")
