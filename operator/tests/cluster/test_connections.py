"""Promise 8, as Postgres itself counts: never more than the budget, never fewer than in flight."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from shortlist.storage.faults import is_outage
from testkit.kubernetes.cluster import names
from testkit.kubernetes.hiring import Opening
from testkit.kubernetes.pipelines import interrupted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.kubernetes.cluster import Cluster
    from testkit.kubernetes.pipelines import Pipeline, Pipelines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

OPEN = """
SELECT substr(application_name, 18) AS worker, count(*) AS open FROM pg_stat_activity
WHERE starts_with(application_name, 'shortlist-worker ') GROUP BY 1
"""

IN_FLIGHT = """
SELECT t.worker_id::text AS worker, count(*) AS in_flight
FROM applications a
JOIN LATERAL (
    SELECT worker_id, outcome FROM attempts
    WHERE application_id = a.id ORDER BY attempt DESC LIMIT 1
) t ON true
WHERE a.pipeline = $1 AND t.outcome IS NULL
  AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)
GROUP BY 1
"""

SAMPLE_SECONDS = 0.05


@dataclass
class Samples:
    """What Postgres said, over and over."""

    sums: list[int] = field(default_factory=list)
    """Connections of all workers together."""
    lacking: list[str] = field(default_factory=list)
    """Workers that held more than they had connections for."""
    most_in_flight: int = 0

    @property
    def most(self) -> int:
        """Connections at the peak."""
        return max(self.sums, default=0)

    async def until_more(self, count: int) -> None:
        """Wait until Postgres was asked so often from now on."""
        enough = len(self.sums) + count
        while len(self.sums) < enough:
            await asyncio.sleep(SAMPLE_SECONDS)


@asynccontextmanager
async def sampled(cluster: Cluster, pipeline: Pipeline) -> AsyncIterator[Samples]:
    """Ask Postgres all the time, for the length of a block."""
    samples = Samples()

    async def ask() -> None:
        async with cluster.database() as connection:
            while True:
                # What was claimed both before and after the count was held while it was made.
                before = dict(await connection.fetch(IN_FLIGHT, pipeline.name))
                opened = dict(await connection.fetch(OPEN))
                after = dict(await connection.fetch(IN_FLIGHT, pipeline.name))
                samples.sums.append(sum(opened.values()))
                held = {worker: min(n, after.get(worker, 0)) for worker, n in before.items()}
                samples.most_in_flight = max([samples.most_in_flight, *held.values()])
                samples.lacking += [
                    f"{worker}: {opened.get(worker, 0)} open, {n} in flight"
                    for worker, n in held.items()
                    if opened.get(worker, 0) < n
                ]
                await asyncio.sleep(SAMPLE_SECONDS)

    async def go_on_asking() -> None:
        while True:
            try:
                await ask()
            except Exception as error:
                if not is_outage(error):  # Postgres is being restarted
                    raise
                await asyncio.sleep(SAMPLE_SECONDS)

    asking = asyncio.create_task(go_on_asking())
    try:
        yield samples
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def reserved_for(cluster: Cluster, budget: int) -> int:
    """What must be reserved for others so that the workers' budget is this."""
    rows = await cluster.query(
        "SELECT sum(setting::int * CASE name WHEN 'max_connections' THEN 1 ELSE -1 END)"
        " FROM pg_settings WHERE name IN"
        " ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
    )
    return int(rows[0][0]) - budget


BUDGET = 13


async def wants_ten_workers(cluster: Cluster, pipelines: Pipelines) -> Pipeline:
    """A pipeline that may have them, and the budget for two."""
    return await pipelines.make(
        {"scaling": {"maxReplicas": 10}},
        {"connections": {"reserved": await reserved_for(cluster, BUDGET)}},
    )


async def test_connections_never_exceed_budget(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await wants_ten_workers(cluster, pipelines)
    opening = await Opening.make(cluster, capacity=2, window_seconds=1)
    async with sampled(cluster, pipeline) as samples:
        await pipeline.submit(60)
        async with pipeline.load(4), opening.load(4):
            await pipeline.until_replicas(2)  # 2 × (4 + 1); a third would not fit
            await pipeline.until_granted(5, 2)
            await pipeline.until_limited_by("connections")
            old = names(await pipeline.pods())
            await pipeline.roll()

            async def rolled() -> bool:
                pods = names(await pipeline.pods())
                return len(pods) == 2 and not old & pods

            await cluster.until(rolled, what="both workers are new")
            await pipeline.until_granted(5, 2)
        await pipeline.settle()
    assert opening.applied > 0
    assert samples.most <= BUDGET
    assert samples.most >= 10  # they were really used


async def test_off_switch_without_a_budget_workers_take_more_than_there_is(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    async with cluster.operator_without("connection_budget"):
        pipeline = await wants_ten_workers(cluster, pipelines)
        async with sampled(cluster, pipeline) as samples:
            await pipeline.submit(60)

            async def over() -> bool:
                return samples.most > BUDGET

            await cluster.until(over, what="workers take more than there is")
            await pipeline.settle()


async def test_connections_stay_at_or_above_in_flight(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline = await pipelines.make(
        {"worker": {"concurrency": 6}, "scaling": {"minReplicas": 2, "maxReplicas": 2}}
    )
    async with sampled(cluster, pipeline) as samples, pipeline.load(8):
        await pipeline.until_granted(7, 2)
        await pipeline.until_in_flight(6)
        few = await reserved_for(cluster, 6)  # two of them are kept for a rollout's surge
        await pipeline.change({"connections": {"reserved": few}})
        await pipeline.until_granted(4, 1)  # one goes, the other shrinks
        await pipeline.change({"connections": {"reserved": 40}})
        await pipeline.until_granted(7, 2)
    await pipeline.settle()
    assert samples.most_in_flight >= 4
    assert not samples.lacking, samples.lacking[:5]


async def test_pool_shrink_seen_in_pg_stat_activity_without_restart(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline = await pipelines.make(
        {"worker": {"concurrency": 8}, "scaling": {"minReplicas": 1, "maxReplicas": 1}}
    )

    async def until_open(count: int) -> None:
        async def counted() -> bool:
            opened = dict(await cluster.query(OPEN))
            return [opened.get(beat.worker_id) for beat in await pipeline.beats()] == [count]

        await cluster.until(counted, what=f"{count} connections in pg_stat_activity")

    await pipeline.until_granted(9, 1)
    before = names(await pipeline.pods())
    async with pipeline.load(8):
        await until_open(9)
        few = await reserved_for(cluster, 6)  # two of them are kept for a rollout's surge
        await pipeline.change({"connections": {"reserved": few}})
        await until_open(4)
        await pipeline.until_condition("ConnectionBudgetExhausted", "True")
        await pipeline.change({"connections": {"reserved": 40}})
        await until_open(9)
    assert interrupted(await pipeline.settle()) == 0
    (pod,) = await pipeline.pods()
    assert {pod["metadata"]["name"]} == before
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


async def test_max_connections_lowered_while_running(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    most, budget = 50, 17  # room for one worker of 11; of 200 there is room for both
    pipeline = await pipelines.make(
        {"worker": {"concurrency": 10}, "connections": {"reserved": most - 3 - budget}},
        {"scaling": {"minReplicas": 2, "maxReplicas": 2}},
    )
    await pipeline.until_granted(11, 2)
    async with pipeline.load(4), sampled(cluster, pipeline) as throughout:
        try:
            await set_max_connections(cluster, most)
            await pipeline.until_replicas(1)
            await pipeline.until_ready(1)
            assert (await pipeline.status())["connections"]["budget"] == budget
            async with sampled(cluster, pipeline) as samples:
                await pipeline.until_in_flight(4)
                await samples.until_more(20)
        finally:
            await set_max_connections(cluster, 200)
    assert throughout.most <= 22  # both come back with what they were granted before, and no more
    assert 4 < samples.most <= budget
    await pipeline.settle()


async def set_max_connections(cluster: Cluster, most: int) -> None:
    """Restart Postgres with so many, as `helm upgrade --set postgres.maxConnections` does."""
    path = cluster.stateful_sets(cluster.part("postgres"))
    template = (await cluster.get(path))["spec"]["template"]
    (container,) = template["spec"]["containers"]
    container["args"] = ["postgres", "-c", f"max_connections={most}"]
    old = {pod["metadata"]["uid"] for pod in await cluster.pods_of("postgres")}
    await cluster.patch(path, {"spec": {"template": template}})

    async def restarted() -> bool:
        return not old & {pod["metadata"]["uid"] for pod in await cluster.pods_of("postgres")}

    await cluster.until(restarted, what="Postgres is restarted")
    await cluster.until_ready("postgres")
