"""The whole path on a real Redis Cluster, by its URL; a node's memory and a node may be lost."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import pytest
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import ConnectionMode, PipelineName
from shortlist.embedded.scaling.observer import Observer
from shortlist.storage.redis import keys
from shortlist.storage.redis.client import CLUSTER_RETRIES, TIMEOUT_SECONDS
from shortlist.urls import DatabaseUrl, RedisUrl
from testkit.clients.browsers import Browsers
from testkit.clients.ledger import Ledger
from testkit.clients.lookouts import lookouts
from testkit.databases.valkeys import cluster
from testkit.faults.whole import WHOLE_AGAIN_SECONDS, everything, is_whole, is_whole_in_time
from testkit.processes.place import Place
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testkit.databases.valkeys import Valkey
    from testkit.processes.place import Running
    from testkit.processes.stack import Role

MODES = get_args(ConnectionMode)

SCORED_SECONDS = 2.0
"""By a worker that waits for it: 0.05 s and some round trips; and a subscription's."""

ASKING_SECONDS = 2 * TIMEOUT_SECONDS
"""What a command for another node may wait while one is frozen. A command that the frozen node
does not answer has its client ask where keys live, any node first, and all others wait for that:
a time-out, if it is the frozen one. They wait for another when the next such command has failed."""

FROZEN_SECONDS = (1 + CLUSTER_RETRIES) * TIMEOUT_SECONDS + TIMEOUT_SECONDS
"""What a command for the frozen node takes: a time-out for each try, and one in between, if the
client asks that very node where keys live because another's command has failed there as well."""

SWEPT_SECONDS = 2.0 + FROZEN_SECONDS + 2.0
"""Until a row that was never published is found: the sweep's period, what a turn takes at most
while a node is frozen, and the time for which such a row is given the benefit of the doubt."""


def url_of(nodes: list[Valkey]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes[:2])


async def number_of_node(nodes: list[Valkey], pipeline: str) -> int:
    """Which of three primaries has a pipeline's keys."""
    slot = await nodes[0].ask("CLUSTER", "KEYSLOT", keys.line(PipelineName(pipeline)))
    return int(slot) * 3 // 16384


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_on_redis_cluster(tmp_path: Path, database_url: str, mode: str) -> None:
    async with cluster(tmp_path, replicas=3) as nodes:
        url = url_of(nodes)
        async with (
            everything(tmp_path, database_url, url, mode) as run,
            lookouts(database_url, url),
            Browsers(run.ingest.url) as browsers,
        ):
            number = await number_of_node(nodes, "default")
            await run.ledger.submit(30)
            await nodes[number].ask("FLUSHALL")  # the line's node alone forgets
            await is_whole(run)
            replica = nodes[3 + number]
            await replica.has_all_of(nodes[number])
            nodes[number].kill()
            before = set(run.ledger.accepted)
            await run.ledger.submit(10)
            await browsers.watch(run.ledger.accepted.keys() - before)
            await replica.leads()
            living = [node for node in nodes if node not in (nodes[number], replica)]
            await is_whole_in_time(run, browsers, replica, *living)


@dataclass
class Two:
    """Two pipelines on different nodes; ``away`` comes first in the alphabet."""

    run: Running
    away: Ledger
    there: Ledger
    node: Valkey
    """That of ``away``."""
    url: str


AWAY = PipelineName("a-first")


async def pipeline_elsewhere(nodes: list[Valkey], number: int) -> PipelineName:
    """The name of a pipeline whose keys are not on this node."""
    names = [PipelineName(f"b-{n}") for n in range(20)]
    on_others = [name for name in names if await number_of_node(nodes, name) != number]
    return on_others[0]


@asynccontextmanager
async def two_pipelines(
    directory: Path, database_url: str, *roles: Role, unguarded: str = ""
) -> AsyncIterator[Two]:
    """A worker for each pipeline, both of which have scored something; no replicas."""
    async with cluster(directory) as nodes:
        number = await number_of_node(nodes, AWAY)
        there = await pipeline_elsewhere(nodes, number)
        place = Place(directory, database_url, url_of(nodes))
        async with (
            place.running(*roles, service_seconds=0.05, unguarded=unguarded) as run,
            Ledger(run.ingest.url, database_url, AWAY) as first,
            Ledger(run.ingest.url, database_url, there) as second,
        ):
            for name in (AWAY, there):
                await run.stack.start("worker", pipeline=name)
            await first.submit(5)
            await second.submit(5)
            await second.settle()
            yield Two(run, first, second, nodes[number], place.redis_url)


async def all_are_scored(ledger: Ledger, within_seconds: float) -> None:
    """Wait until all that was accepted by a client is scored; of others nothing is asked."""

    async def look() -> bool:
        query = "SELECT count(*) FROM results WHERE status = 'scored' AND application_id = ANY($1)"
        return bool(await ledger.value(query, list(ledger.accepted)) == len(ledger.accepted))

    await until(look, within_seconds=within_seconds, what=f"the line of {ledger.pipeline} goes on")


async def accept_unpublished(ledger: Ledger) -> None:
    """As when ingest died before it published: only the sweep finds it."""
    one, payload = uuid7(), "unpublished"
    await ledger.query(
        "INSERT INTO applications (id, pipeline, payload) VALUES ($1, $2, $3)",
        one, ledger.pipeline, payload,
    )  # fmt: skip
    ledger.accepted[one] = payload


async def a_node_is_away(
    directory: Path, database_url: str, how: str, *, unguarded: str = ""
) -> None:
    """The pipeline whose node is there is swept, watched and looked at; the other is in the end."""
    async with (
        two_pipelines(directory, database_url, "maintenance", unguarded=unguarded) as two,
        Browsers(two.run.ingest.url) as browsers,
    ):
        if how == "killed":
            two.node.kill()
        else:
            two.node.freeze()
        await two.away.submit(5)
        await accept_unpublished(two.there)
        await all_are_scored(two.there, SWEPT_SECONDS)
        before = set(two.there.accepted)
        await two.there.submit(10)
        await browsers.watch(two.there.accepted.keys() - before)
        waits_seconds = ASKING_SECONDS if how == "frozen" else 0.0
        await all_are_scored(two.there, SCORED_SECONDS + waits_seconds)
        await browsers.are_told(WHOLE_AGAIN_SECONDS)
        await ups_observer_sees(two)
        if how == "killed":
            await two.node.start()
        else:
            two.node.thaw()
        two.away.accepted |= two.there.accepted
        await two.away.settle(within_seconds=30)


async def ups_observer_sees(two: Two) -> None:
    """What `shortlist up` would be looking at: the line that can be read, and that one cannot."""
    names = [AWAY, two.there.pipeline]
    observer = Observer(DatabaseUrl(two.there.database_url), RedisUrl(two.url), names)
    try:
        view = await observer.observe()
    finally:
        await observer.close()
    assert [one.name for one in view.pipelines] == [two.there.pipeline]
    assert len(view.problems) == 1


@pytest.mark.slow
@pytest.mark.quiet
@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_node_that_is_away_stops_no_other_pipeline(
    tmp_path: Path, database_url: str, how: str
) -> None:
    await a_node_is_away(tmp_path, database_url, how)


@pytest.mark.slow
async def test_off_switch_maintenance_that_ends_its_turn_at_a_node_that_is_away_sweeps_no_other(
    tmp_path: Path, database_url: str
) -> None:
    with pytest.raises(AssertionError, match="goes on"):
        await a_node_is_away(tmp_path, database_url, "killed", unguarded="pipelines_apart")


@pytest.mark.slow
async def test_ingest_publishes_for_a_pipeline_whatever_another_s_node_does(
    tmp_path: Path, database_url: str
) -> None:
    """Without maintenance: what ingest did not publish, or late, is not made good by a sweep.

    `test_publisher_lanes` has the guard of it, and what happens without.
    """
    async with two_pipelines(tmp_path, database_url) as two:
        two.node.freeze()
        async with two.away.load(per_second=5):
            for _ in range(5):
                await two.there.submit(5)
                await all_are_scored(two.there, SCORED_SECONDS)
        two.node.thaw()
