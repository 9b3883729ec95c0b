from __future__ import annotations

import datetime as dt
import gc
from dataclasses import replace
from decimal import Decimal

import pytest

from shortlist.domain.hiring.ordering import LineKey
from shortlist.domain.hiring.placement import ApplicantId, Placement, PlacementId
from shortlist.hiring.reading.packed import PackedPlacements

NOW = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)


def placement(number: int) -> Placement:
    an_id = PlacementId(number)
    return Placement(
        id=an_id, applicant_id=ApplicantId(7), status="WAITLIST",
        key=LineKey(1, -50.5, Decimal("3.25"), an_id), applied_sequence=2, applied_at=NOW,
        since=NOW, last_event="MOVED", last_sequence=9, misses=1, score=50.5, moved=True,
    )  # fmt: skip


def test_placements_come_back_as_they_were_put() -> None:
    packed = PackedPlacements()
    offered = replace(placement(2), status="PENDING_ACKNOWLEDGMENT", promoted_at=NOW, deadline=NOW)
    for one in (placement(1), placement(2), offered):
        packed[one.id] = one
    assert dict(packed) == {1: placement(1), 2: offered}
    assert (len(packed), PlacementId(2) in packed, packed.get(PlacementId(3))) == (2, True, None)
    del packed[PlacementId(2)]
    assert list(packed) == [1]
    with pytest.raises(KeyError):
        packed[PlacementId(2)]


def test_the_garbage_collector_visits_none_of_them() -> None:
    gc.collect()
    before = len(gc.get_objects())
    packed = PackedPlacements()
    for number in range(1_000):
        packed[PlacementId(number)] = placement(number)
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert len(packed) == 1_000
