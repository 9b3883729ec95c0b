"""What the supervisor asks of Postgres, and tells it, while everything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres import roles, schema
from shortlist.storage.postgres.queries import pipelines as table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shortlist.domain.line.application import PipelineName
    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist.embedded.supervision.processes import Surroundings
    from shortlist.storage.postgres import Connection
    from shortlist.urls import DatabaseUrl


async def make_owner(around: Surroundings) -> None:
    """Make the owner's role, and hand it over what the admin made."""
    await roles.make_owner(around.admin_url, around.owner_url, around.roles)


async def is_as_needed(connection: Connection, urls: Sequence[DatabaseUrl]) -> bool:
    """Tell if our processes can work here: the roles of ``urls`` exist, and the schema will do.

    One that is newer than we are will do.
    """
    logins = [login.user for url in urls if (login := roles.login_of(url))]
    has_roles = await roles.exist(connection, logins)
    return has_roles and schema.suffices(await schema.revision(connection))


async def configure(
    connection: Connection, pipelines: Mapping[PipelineName, ScoringPipeline]
) -> None:
    """Make the pipelines known to ingest, with their lines' capacities."""
    for name, pipeline in pipelines.items():
        await table.configure(connection, name, pipeline.line.capacity)
