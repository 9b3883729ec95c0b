"""Each pipeline is published by itself: one whose server hangs keeps no other waiting."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import ApplicationId, NewApplication, PipelineName
from shortlist.ingest.admission.line_registry import LineRegistry
from shortlist.ingest.publisher import Publisher
from shortlist.storage import redis
from shortlist.storage.postgres.database import Database
from shortlist.storage.postgres.queries import pipelines
from shortlist.storage.redis.line import Line
from testkit.databases.valkeys import Valkey
from testkit.faults.unguarding import without
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from shortlist.storage.postgres import Connection
    from shortlist.storage.redis.line import Entry

HUNG, ANSWERING = PipelineName("hung"), PipelineName("answering")

PATIENT_SECONDS = 600.0
"""The clients' time-out here: a pipeline that waits for another's server waits for all of it."""

PUBLISHED_SECONDS = 60.0
"""A round trip takes a millisecond; the machine may have other things to do."""

KEPT_WAITING_SECONDS = 3.0


class OnTwoServers(LineRegistry):
    """As in a Redis Cluster: one pipeline's keys are on another node than the others'."""

    def __init__(self, hung: LineRegistry, answering: LineRegistry) -> None:
        self._of = {HUNG: hung, ANSWERING: answering}

    async def publish(self, pipeline: PipelineName, entries: Sequence[Entry]) -> None:
        await self._of[pipeline].publish(pipeline, entries)

    def leave_to_sweep(self, pipeline: PipelineName, ids: Iterable[ApplicationId]) -> None:
        self._of[pipeline].leave_to_sweep(pipeline, ids)


def new_application(pipeline: PipelineName) -> NewApplication:
    return NewApplication(ApplicationId(uuid7()), pipeline, "Ada", "text")


@pytest.mark.parametrize("is_guarded", [True, False], ids=["guard", "off_switch"])
async def test_a_pipeline_whose_server_hangs_keeps_no_other_waiting(
    tmp_path: Path, database_url: str, redis_url: str, db: Connection, *, is_guarded: bool
) -> None:
    for name in (HUNG, ANSWERING):
        await pipelines.configure(db, name, 100)
    server = Valkey(tmp_path)
    await server.start()
    database = Database(database_url, name="test", connections=1, timeout_seconds=30)
    clients = [
        redis.connect(url, timeout_seconds=PATIENT_SECONDS) for url in (server.url, redis_url)
    ]
    lines = [LineRegistry(database, client, lambda _: None) for client in clients]
    for known in lines:
        await known.poll()
    publisher = Publisher(OnTwoServers(*lines))
    answering = Line(clients[1], ANSWERING)

    async def is_published() -> bool:
        return (await answering.depth()).total == 1

    server.freeze()
    with nullcontext() if is_guarded else without("lanes_apart"):
        publisher.publish([new_application(HUNG), new_application(ANSWERING)])
        if is_guarded:
            await until(is_published, within_seconds=PUBLISHED_SECONDS, what="it is published")
        else:
            with pytest.raises(AssertionError, match="it is published"):
                await until(
                    is_published, within_seconds=KEPT_WAITING_SECONDS, what="it is published"
                )
        server.kill()  # its connections end, and with them the waiting
        await publisher.finish()
    for client in clients:
        await client.aclose()
    await database.close()
