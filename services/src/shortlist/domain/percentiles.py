"""Percentiles: of values, of values that were counted, and of counts in wide buckets."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """Return the least of the sorted values that ``share`` (0 to 1) of them do not exceed.

    Raises:
        IndexError: there is no value.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def nearest_rank_of_counts(counts: Mapping[int, int], share: float) -> int:
    """Return the same as `nearest_rank` for values of which each stands with its count.

    Raises:
        IndexError: nothing was counted.
    """
    values = sorted(counts)
    ranks = list(accumulate(counts[value] for value in values))
    return values[bisect_left(ranks, math.ceil(share * ranks[-1]))]


def histogram_quantile(
    share: float, bounds: Sequence[float], counts: Sequence[int]
) -> float | None:
    """Interpolate linearly in a bucket, as Prometheus's function of this name does.

    None when nothing was counted.

    ``counts[i]`` observations lie in (bounds[i-1], bounds[i]]; the last, one longer than
    ``bounds``, lie above all bounds and are shown as the highest.
    """
    wanted = share * sum(counts)
    if not wanted:
        return None
    seen, low = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and seen + count >= wanted:
            return low + (bound - low) * (wanted - seen) / count
        seen, low = seen + count, bound
    return low
