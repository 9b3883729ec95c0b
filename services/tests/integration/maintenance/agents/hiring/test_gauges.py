from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY

from shortlist.maintenance.agents.hiring import gauges
from shortlist.maintenance.agents.hiring.gauges import Gauges

if TYPE_CHECKING:
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection

OPENED = """
WITH o AS (
    INSERT INTO openings (title, verify_email, capacity, ack_window_seconds, line_order, confirm,
                          fill_from, state, version, created_at)
    VALUES ('t', false, $1, 300, $4, 'promoted', now() + $5::interval, $6, 1, now()) RETURNING id
)
INSERT INTO opening_events
    (opening_id, sequence, at, type, actor_kind, metadata, held, waiting, digest)
SELECT id, n, now(), 'O', 's', '{}', CASE n WHEN 9 THEN $2::int ELSE 77 END,
       CASE n WHEN 9 THEN $3::int ELSE 77 END, '' FROM o, generate_series(1, 9) n
"""
"""Rows as an opening has them. What counts is its newest event, the ninth."""

HOUR = dt.timedelta(hours=1)


async def opened(
    db: Connection,
    *,
    capacity: int,
    held: int,
    waiting: int,
    order: str = "fifo",
    fills_in: dt.timedelta | None = None,
    state: str = "open",
) -> None:
    await db.execute(OPENED, capacity, held, waiting, order, fills_in, state)


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"shortlist_hiring_{name}", labels)


async def test_the_leader_sums_up_openings_that_have_not_ended(
    db: Connection, desk: LeaderContext
) -> None:
    await opened(db, capacity=5, held=3, waiting=0)
    await opened(db, capacity=5, held=7, waiting=4, state="closed")  # lowered under those there
    await opened(db, capacity=9, held=9, waiting=0, state="ended")
    await Gauges(desk).turn()
    assert shown("places", order="fifo", state="held") == 10
    assert shown("places", order="fifo", state="free") == 2
    assert shown("waiting", order="fifo") == 4
    assert shown("unfilled_openings", order="fifo") == 0
    assert shown("waiting", order="score") == 0
    gauges.take_back()
    assert shown("waiting", order="fifo") is None


async def test_a_free_place_beside_an_applicant_who_waits_is_shown_once_places_are_filled(
    db: Connection, desk: LeaderContext
) -> None:
    await opened(db, capacity=5, held=3, waiting=1, order="score")
    await opened(db, capacity=5, held=3, waiting=1, order="score", fills_in=-HOUR)
    await opened(db, capacity=5, held=3, waiting=1, order="score", fills_in=HOUR)
    await Gauges(desk).turn()
    assert shown("unfilled_openings", order="score") == 2
    gauges.take_back()


async def test_it_rests_for_longer_than_it_took(desk: LeaderContext) -> None:
    assert await Gauges(desk).turn() >= gauges.PERIOD_SECONDS
