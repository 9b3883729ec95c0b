"""Pipelines that ingest accepts for, and how long each one's line may get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.line.application import PipelineName
from shortlist.storage.postgres import ServerClock
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from uuid import UUID

    from shortlist.storage.postgres import Connection


async def capacities(connection: Connection) -> dict[PipelineName, int]:
    """Pipeline → the most applications that may be accepted and unfinished."""
    rows = await SQL["pipelines.capacities"].fetch(connection)
    return {PipelineName(row["name"]): row["line_capacity"] for row in rows}


@dataclass(frozen=True, slots=True)
class PipelinesSnapshot:
    """What ingest must know before it accepts anything."""

    capacities: dict[PipelineName, int]
    clock: ServerClock
    newest: UUID | None
    """The newest application's id, if there is any."""


async def read(connection: Connection) -> PipelinesSnapshot:
    """Read the pipelines' capacities, Postgres's clock, and the newest id."""
    known = await capacities(connection)
    newest = await SQL["applications.newest"].fetchval(connection)
    return PipelinesSnapshot(known, await ServerClock.read(connection), newest)


async def ensure(connection: Connection, name: PipelineName) -> None:
    """Make a pipeline known, with the default capacity, if it is not."""
    await SQL["pipelines.ensure"].execute(connection, name=name)


async def configure(connection: Connection, name: PipelineName, line_capacity: int) -> None:
    """Make a pipeline known with this capacity. Writes nothing when it is."""
    await SQL["pipelines.configure"].execute(connection, name=name, line_capacity=line_capacity)
