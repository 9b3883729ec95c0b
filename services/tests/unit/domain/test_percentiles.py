from __future__ import annotations

import random
from collections import Counter

import pytest

from shortlist.domain.percentiles import histogram_quantile, nearest_rank, nearest_rank_of_counts


def test_the_nearest_rank_is_a_value_that_was_seen() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert nearest_rank(ordered, 0.50) == 50
    assert nearest_rank(ordered, 0.99) == 99
    assert nearest_rank(ordered, 1.0) == 100
    assert nearest_rank([7.0], 0.99) == 7
    with pytest.raises(IndexError):
        nearest_rank([], 0.5)


def test_counted_values_have_the_percentiles_of_the_values() -> None:
    chance = random.Random(5)
    values = sorted(chance.choices(range(-40, 40), k=500))
    for share in (0.0, 0.001, 0.5, 0.9, 0.99, 1.0):
        assert nearest_rank_of_counts(Counter(values), share) == nearest_rank(values, share)


def test_a_quantile_lies_within_its_bucket() -> None:
    assert histogram_quantile(0.5, [1.0, 2.0, 4.0], [0, 10, 0, 0]) == pytest.approx(1.5)
    assert histogram_quantile(0.99, [1.0, 2.0, 4.0], [99, 1, 0, 0]) == pytest.approx(1.0)
    assert histogram_quantile(0.99, [1.0, 2.0, 4.0], [0, 0, 0, 7]) == 4.0
    assert histogram_quantile(0.99, [1.0, 2.0, 4.0], [0, 0, 0, 0]) is None
