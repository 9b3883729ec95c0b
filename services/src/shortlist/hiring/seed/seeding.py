"""What ``shortlist seed`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.hiring.acts import Acts
from shortlist.hiring.seed import samples
from shortlist.hiring.transactions import SESSION
from shortlist.storage.postgres.database import Database
from shortlist.storage.postgres.queries.hiring.commands import seeds

if TYPE_CHECKING:
    from shortlist.urls import DatabaseUrl

_TIMEOUT_SECONDS = 10.0


async def seed_samples(url: DatabaseUrl) -> int:
    """Make those of the samples that are not there; returns how many openings that were."""
    database = Database(
        url,
        name="shortlist-seed",
        connections=1,
        timeout_seconds=_TIMEOUT_SECONDS,
        settings=SESSION,
    )
    acts = Acts(database, on_submitted=_ignore, on_committed=_ignore)
    try:
        return await samples.seed(acts, await database.read(seeds.titles))
    finally:
        await acts.finish()
        await database.close()


def _ignore(_: object) -> None:
    """Tell no other process: live updates find it within a second."""
