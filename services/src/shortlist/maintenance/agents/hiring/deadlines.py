"""Settles what time has caused: offers that ran out, openings that close, or begin to be filled.

An offer stands for a second at least (`ackWindowSeconds`), and the leader looks twice a second: so
it knows each deadline before it comes, without being told of any, and is there when it has passed.
Postgres's clock alone decides that it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.hiring import settlement
from shortlist.maintenance.agents.hiring.floor import Floor
from shortlist.maintenance.agents.hiring.settler import Settler
from shortlist.storage.postgres.queries.hiring.leader import deadlines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.maintenance.agents.hiring.announcer import Announcer
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.hiring.leader.deadlines import Due

POLL_INTERVAL_SECONDS = 0.5
"""At most so long until the next look."""

MOST = 1000
"""Offers that one look finds."""


class Deadlines:
    """Sleeps until the next deadline, and settles all openings in which one has passed."""

    def __init__(self, desk: LeaderContext, announcer: Announcer) -> None:
        """``announcer`` is told of the events that time has caused."""
        self._desk = desk
        self._floor = Floor()
        self._settler = Settler(
            desk,
            announcer,
            settlement.settle,
            agent="deadlines",
            waits=False,
        )

    async def turn(self) -> float:
        """Settle what is due; how many seconds to sleep."""
        after = self._floor.begin_turn()
        pause = await self._settler.turn(self._find)
        async with self._desk.connection() as connection:
            now, seconds = await deadlines.next_due(connection, after)
        if pause is not None:  # something is left, or rests: it is overdue
            return min(POLL_INTERVAL_SECONDS, pause)
        if seconds is not None and seconds <= 0:
            return 0.0
        self._floor.nothing_is_due(now)
        return POLL_INTERVAL_SECONDS if seconds is None else min(POLL_INTERVAL_SECONDS, seconds)

    async def _find(self, connection: Connection, excluded: set[OpeningId]) -> Sequence[Due]:
        return await deadlines.due(connection, self._floor.after, excluded, MOST)
