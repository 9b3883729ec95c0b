"""The operator, its twin, and the servers come and go."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import pytest

from testkit.kubernetes.cluster import Refused, names
from testkit.kubernetes.pipelines import interrupted

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Cluster
    from testkit.kubernetes.pipelines import Pipelines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


async def test_operator_killed_replicas_hold(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make({"scaling": {"downWindowSeconds": 20, "idleSeconds": 20}})
    await pipeline.submit(60)
    await pipeline.until_replicas(3)
    await pipeline.until_ready(3)
    await pipeline.until_granted(5, 3)
    pods, grants = names(await pipeline.pods()), await pipeline.grants()
    killed = names(await cluster.pods_of("operator"))
    await cluster.kill("operator")

    async def somebody_else_acts() -> bool:
        assert await pipeline.replicas() == 3
        assert await pipeline.grants() == grants
        return await holder(cluster) not in killed

    await cluster.until(somebody_else_acts, what="another operator acts")
    assert names(await pipeline.pods()) == pods
    assert interrupted(await pipeline.settle()) == 0
    await pipeline.until_replicas(0)  # and it goes on


async def test_operator_down_work_flows(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make({"scaling": {"minReplicas": 2}})
    await pipeline.until_ready(2)
    await pipeline.until_granted(5, 2)
    async with cluster.without(cluster.deployments(cluster.part("operator")), "operator"):
        await pipeline.submit(40)
        books = await pipeline.settle()
        assert len(books) == 40
        assert interrupted(books) == 0
        assert await pipeline.replicas() == 2


async def test_redis_outage_never_scales_in(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make({"fallback": {"failureThreshold": 4, "replicas": 3}})
    await pipeline.submit(4)
    await pipeline.until_ready(1)
    async with cluster.without(cluster.stateful_sets(cluster.part("redis")), "redis"):
        await pipeline.submit(10)  # the row is the outbox

        async def long_away() -> bool:
            assert await pipeline.replicas() >= 1
            found = re.search(r"\((\d+) in a row\)", await pipeline.reason())
            return found is not None and int(found[1]) >= 12

        await cluster.until(long_away, what="twelve looks in a row failed")
        assert await pipeline.replicas() == 3  # the fallback; and idle for longer than the window
        assert (await pipeline.condition("MetricsAvailable"))["reason"] == "RedisUnreadable"
    await pipeline.settle()
    await pipeline.until_replicas(0)


async def test_postgres_outage_freezes_grants_and_takes_nobody_away(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline = await pipelines.make({"scaling": {"minReplicas": 2}})
    await pipeline.until_granted(5, 2)
    async with cluster.without(cluster.stateful_sets(cluster.part("postgres")), "postgres"):
        blind = await pipeline.until_condition("MetricsAvailable", "False")
        assert blind["reason"] == "PostgresUnreadable"
        since = dt.datetime.fromisoformat(blind["lastTransitionTime"])
        grants = await pipeline.grants()
        await pipeline.change({"scaling": {"minReplicas": 0}})  # nothing waits, no worker is busy

        async def blind_for_long() -> bool:
            assert await pipeline.replicas() == 2
            assert await pipeline.grants() == grants
            decided = dt.datetime.fromisoformat((await pipeline.status())["decision"]["at"])
            return (decided - since).total_seconds() > 15

        await cluster.until(blind_for_long, what="decisions without Postgres")
    await pipeline.until_condition("MetricsAvailable", "True")
    await cluster.until_ready("ingest")
    await pipeline.submit(10)
    await pipeline.settle()
    await pipeline.until_replicas(0)


async def test_an_operator_that_may_not_scale_says_so_and_goes_on_when_it_may(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline = await pipelines.make()
    path = cluster.role(cluster.part("operator"))
    rules = (await cluster.get(path))["rules"]
    await cluster.patch(
        path, {"rules": [r for r in rules if "deployments/scale" not in r["resources"]]}
    )
    try:
        await pipeline.submit(10)
        ready = await pipeline.until_condition("Ready", "False")
        assert ready["reason"] == "TickFailed"
        assert "forbidden" in ready["message"]
        assert (await pipeline.status())["replicas"]["desired"] > 0  # what it would do is told
        assert await pipeline.replicas() == 0
    finally:
        await cluster.patch(path, {"rules": rules})
    await pipeline.until_condition("Ready", "True")
    await pipeline.settle()


async def test_two_operators_one_actor(cluster: Cluster, pipelines: Pipelines) -> None:
    path = cluster.deployments(cluster.part("operator"))
    await cluster.scale(path, 2)
    try:
        await cluster.until_ready("operator", 2)
        pipeline = await pipelines.make({"scaling": {"mode": "Paused"}})
        await pipeline.submit(40)
        await pipeline.change({"scaling": {"mode": "Auto"}})
        await pipeline.until_replicas(3)
        assert [m[:4] for m in await pipeline.until_events("ScaledOut")] == ["0→3:"]
        first = await holder(cluster)
        assert first in names(await cluster.pods_of("operator"))
        await cluster.delete(cluster.pod(first), grace_seconds=0)

        async def other_acts() -> bool:
            acting = [await acts(cluster, pod) for pod in names(await cluster.pods_of("operator"))]
            assert sum(acting) <= 1
            return sum(acting) == 1 and await holder(cluster) != first

        await cluster.until(other_acts, what="the other one acts")
        await pipeline.settle()
        await pipeline.until_replicas(0)
    finally:
        await cluster.scale(path, 1)


async def holder(cluster: Cluster) -> str:
    """Which operator holds the Lease."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases"
    return str((await cluster.get(f"{path}/shortlist-operator"))["spec"].get("holderIdentity"))


async def acts(cluster: Cluster, pod: str) -> bool:
    """Whether an operator says that it may act; one that is going or coming does not answer."""
    try:
        metrics = await cluster.read(f"{cluster.pod(pod)}:8000/proxy/metrics")
    except Refused:
        return False
    return "shortlist_operator_acting 1.0" in metrics
