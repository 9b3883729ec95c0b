"""Tells the listeners of openings that something has happened there. A hint: they look anyway.

Apart from what settles: a Redis that does not answer delays no deadline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.redis import events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.maintenance.context import LeaderContext

PERIOD_SECONDS = 0.1


class Announcer:
    """Keeps the newest sequence of each opening until it is told."""

    def __init__(self, desk: LeaderContext) -> None:
        """Nothing is to be told yet."""
        self._desk = desk
        self._sequences: dict[OpeningId, int] = {}

    def tell(self, sequences: Mapping[OpeningId, int]) -> None:
        """Have the next turn announce these events, which are committed."""
        self._sequences |= sequences

    async def turn(self) -> None:
        """Announce what is new. What Redis does not take now is not told later."""
        sequences, self._sequences = self._sequences, {}
        if sequences:
            await events.announce_openings(self._desk.redis, sequences)
