"""Writes the head snapshots by which replay costs the same however long the past is (0044).

They are derived: one that is missing only costs a longer fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.hiring.placement import OpeningId
from shortlist.storage.postgres.queries.hiring.leader import deadlines
from shortlist.storage.postgres.queries.hiring.reading import heads

if TYPE_CHECKING:
    from shortlist.maintenance.context import LeaderContext

PERIOD_SECONDS = 5.0

_SLICE = 1000
"""Openings that one turn looks at."""

_LOCK_TIMEOUT_SECONDS = 0.25

_FIRST = OpeningId(0)


class Snapshots:
    """Goes over the openings, a slice at each turn, and writes the heads that they lack."""

    def __init__(self, desk: LeaderContext) -> None:
        """Begin with the oldest opening."""
        self._desk = desk
        self._behind = _FIRST

    async def turn(self) -> float:
        """Write what a slice of openings lacks; how many seconds to rest."""
        async with self._desk.connection() as connection:
            lacking, behind = await heads.wanted(connection, self._behind, _SLICE)
        for opening in lacking:
            while await self._write_next(opening):
                self._desk.goes_on()
        self._behind = _FIRST if behind is None else behind
        return PERIOD_SECONDS if behind is None else 0.0

    async def _write_next(self, opening: OpeningId) -> bool:
        """Write an opening's next head, under its lock: all that is read is of one moment.

        Returns whether there was one to write. An opening whose lock another keeps waits for the
        next pass.
        """
        try:
            async with self._desk.writing() as connection:
                await deadlines.lock_in_time(connection, opening, _LOCK_TIMEOUT_SECONDS)
                return await heads.write_next(connection, opening)
        except Exception as error:
            if deadlines.is_locked(error):
                return False
            raise
