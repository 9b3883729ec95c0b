"""Payloads that come with applications: submitted for scoring in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.queries import applications
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.hiring.placement import OpeningId, PlacementId
    from shortlist.domain.line.application import NewApplication
    from shortlist.storage.postgres import Connection


async def submit(
    connection: Connection, payloads: Mapping[PlacementId, tuple[OpeningId, NewApplication]]
) -> None:
    """Accept payloads for scoring, and note whose they are; in the act's transaction."""
    news = [new for _, new in payloads.values()]
    await applications.insert(connection, news)
    await SQL["payloads.expect"].execute(
        connection,
        applications=[new.id for new in news],
        placements=list(payloads),
        openings=[opening_id for opening_id, _ in payloads.values()],
    )
