"""Openings with a past, stored as the product stores them, for the leader to go on with."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId
from shortlist.maintenance.agents.hiring.announcer import Announcer
from shortlist.maintenance.agents.hiring.deadlines import Deadlines
from shortlist.storage import postgres
from shortlist.storage.postgres.queries.hiring import codec
from testkit.hiring.memory import Memory
from testkit.hiring.rows import Rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shortlist.domain.hiring.placement import PlacementId, Status
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection


class Office:
    """Makes openings, and tells how they stand in Postgres."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self._numbers = count(1)
        self._stored: dict[int, int] = {}

    async def opening(
        self,
        *,
        offers: int = 1,
        waiting: int = 1,
        seconds_ago: float = 2.0,
        **rules: Any,
    ) -> Memory:
        """An opening whose offers, each with a window of a second, were made so long ago."""
        now: dt.datetime = await self.db.fetchval("SELECT clock_timestamp()")
        number = next(self._numbers)
        made = Rules(capacity=offers, ack_window_seconds=1, confirm="everyone")
        memory = Memory(
            replace(made, **rules),
            clock=now - dt.timedelta(seconds=seconds_ago),
            id=OpeningId(number),
            ids=count(number * 1_000_000),
        )
        memory.decide(
            *(memory.application(applicant) for applicant in range(1, offers + waiting + 1))
        )
        await Rows(self.db, memory).write()
        self._stored[memory.id] = memory.events[-1].sequence
        return memory

    async def standing(self, memory: Memory) -> dict[int, Status]:
        """The status of each applicant."""
        rows = await self.db.fetch(
            "SELECT applicant_id, status FROM placements WHERE opening_id = $1 ORDER BY id",
            memory.id,
        )
        return {row["applicant_id"]: codec.STATUS_OF[row["status"]] for row in rows}

    async def line(self, memory: Memory) -> list[int]:
        """The applicants who wait, the first in line first."""
        rows = await self.db.fetch(
            "SELECT applicant_id FROM placements"
            " WHERE opening_id = $1 AND status = 'w' ORDER BY key",
            memory.id,
        )
        return [row["applicant_id"] for row in rows]

    async def told(self, memory: Memory) -> list[str]:
        """The types of the events since it was stored."""
        rows = await self.db.fetch(
            "SELECT type FROM opening_events WHERE opening_id = $1 AND sequence > $2"
            " ORDER BY sequence",
            memory.id,
            self._stored[memory.id],
        )
        return [codec.EVENT_OF[row["type"]] for row in rows]


def placement_of(memory: Memory, applicant: int) -> PlacementId:
    return memory.named(applicant).id


@pytest.fixture
def office(db: Connection) -> Office:
    return Office(db)


@pytest.fixture
def announcer(desk: LeaderContext) -> Announcer:
    return Announcer(desk)


@pytest.fixture
def deadlines(desk: LeaderContext, announcer: Announcer) -> Deadlines:
    return Deadlines(desk, announcer)


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Connection]:
    """Another session."""
    connection = await postgres.connect(database_url, application_name="other")
    yield connection
    await postgres.close_quickly(connection)
