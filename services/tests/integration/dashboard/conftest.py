"""A dashboard over real servers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from uuid_utils.compat import uuid7

from shortlist.dashboard.app import build_app
from shortlist.dashboard.snapshot_reader import SnapshotReader
from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId, WorkerId
from shortlist.storage import postgres, redis
from shortlist.storage.postgres.pool import ConnectionPool
from shortlist.storage.postgres.queries import workers
from shortlist.storage.redis import heartbeats, line
from testkit.clients.dashboard import Applicants, a_heartbeat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette


@pytest.fixture
async def applicants(db: postgres.Connection) -> Applicants:
    worker = WorkerId(uuid7())
    await workers.enrol(db, worker, DEFAULT_PIPELINE, "perWrite")
    return Applicants(db, worker)


@pytest.fixture
async def dashboard(database_url: str, line_redis: redis.Redis) -> AsyncIterator[Starlette]:
    connect = partial(postgres.connect, database_url, application_name="test-dashboard")
    pool = ConnectionPool(connect, 2)
    yield build_app(SnapshotReader(pool, line_redis))
    await pool.close()


@pytest.fixture
async def busy_line(line_redis: redis.Redis) -> None:
    """Three entries wait; one live worker holds two applications."""
    default = line.Line(line_redis, DEFAULT_PIPELINE)
    await default.ensure_group()
    await default.publish([line.Entry(ApplicationId(uuid7())) for _ in range(3)])
    await heartbeats.beat(line_redis, DEFAULT_PIPELINE, a_heartbeat(in_flight=2))
