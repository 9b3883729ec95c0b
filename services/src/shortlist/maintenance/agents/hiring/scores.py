"""Orders lines by scores that have arrived, within a quarter of a second.

A worker's completion marks a score as due, by a trigger, and locks no opening. What is done here is
marked as done in the transaction that does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shortlist.domain.hiring.draft import BATCH
from shortlist.hiring import settlement
from shortlist.hiring.settlement import ArrivedScore
from shortlist.maintenance.agents.hiring.floor import Floor
from shortlist.maintenance.agents.hiring.settler import Settler
from shortlist.storage.postgres.queries.hiring.leader import due_scores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.hiring.settlement import Settled
    from shortlist.maintenance.agents.hiring.announcer import Announcer
    from shortlist.maintenance.context import LeaderContext
    from shortlist.storage.postgres import Connection

POLL_INTERVAL_SECONDS = 0.25

MOST = 1000
"""Scores that one look finds."""


class _Due(NamedTuple):
    """Scores that one transaction does in an opening."""

    opening_id: OpeningId
    items: int
    late_seconds: float


class Scores:
    """Looks for scores that are due, and has the lines of their openings ordered by them."""

    def __init__(self, desk: LeaderContext, announcer: Announcer) -> None:
        """``announcer`` is told of the events that the scores have caused."""
        self._desk = desk
        self._floor = Floor()
        self._found: dict[OpeningId, tuple[UUID, ...]] = {}
        self._settler = Settler(
            desk,
            announcer,
            self._settle,
            agent="scores",
            waits=True,
        )

    async def turn(self) -> float:
        """Do what is due; how many seconds to sleep."""
        self._floor.begin_turn()
        async with self._desk.connection() as connection:
            now = await due_scores.clock(connection)
        pause = await self._settler.turn(self._find)
        if pause is None:
            self._floor.nothing_is_due(now)
            return POLL_INTERVAL_SECONDS
        return min(pause, POLL_INTERVAL_SECONDS)

    async def _find(self, connection: Connection, excluded: set[OpeningId]) -> Sequence[_Due]:
        found = await due_scores.due(connection, self._floor.after, excluded, MOST)
        self._found = {due.opening_id: due.applications[:BATCH] for due in found}
        return [
            _Due(due.opening_id, len(self._found[due.opening_id]), due.late_seconds)
            for due in found
        ]

    async def _settle(self, connection: Connection, openings: Sequence[OpeningId]) -> Settled:
        """Record the scores of openings that are locked; those that are left stay due."""
        ids = [one for opening in openings for one in self._found[opening]]
        locked = await due_scores.lock(connection, ids)
        arrived: dict[OpeningId, list[ArrivedScore]] = {}
        for one in locked:
            score = ArrivedScore(one.placement_id, str(one.application_id), one.score)
            arrived.setdefault(one.opening_id, []).append(score)
        settled = await settlement.settle(connection, openings, arrived)
        left = {score.scoring_id for scores in settled.left.values() for score in scores}
        done = [one.application_id for one in locked if str(one.application_id) not in left]
        await due_scores.done(connection, done)
        return settled
