"""What the supervisor asks of Postgres, and tells it, while everything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage import pipelines as table
from shortlist.storage import schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.application import PipelineName
    from shortlist.domain.pipeline import ScoringPipeline
    from shortlist.storage.postgres import Connection


async def has_schema(connection: Connection) -> bool:
    """Whether our processes can work with the schema; one that is newer than we are will do."""
    return schema.suffices(await schema.revision(connection))


async def configure(
    connection: Connection, pipelines: Mapping[PipelineName, ScoringPipeline]
) -> None:
    """Make the pipelines known to ingest, with their lines' capacities."""
    for name, pipeline in pipelines.items():
        await table.configure(connection, name, pipeline.line.capacity)
