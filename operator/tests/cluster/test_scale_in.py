"""Workers are taken away without interrupting a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testkit.kubernetes.cluster import names
from testkit.kubernetes.pipelines import interrupted

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Cluster
    from testkit.kubernetes.pipelines import Pipeline, Pipelines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


async def busy(pipeline: Pipeline, workers: int, *, each: int) -> None:
    """Fill so many workers with applications, to the last slot."""
    await pipeline.until_ready(workers)
    await pipeline.until_granted(each + 1, workers)
    await pipeline.submit(workers * each)
    await pipeline.until_in_flight(workers * each)


async def three_busy(pipelines: Pipelines) -> Pipeline:
    """Workers that would drop what they hold at SIGTERM: they must be empty before it."""
    pipeline = await pipelines.make_without(
        "graceful_drain", {"scorer": {"serviceSeconds": 12}, "scaling": {"minReplicas": 3}}
    )
    await busy(pipeline, 3, each=4)
    return pipeline


async def shrunk_to_one(pipeline: Pipeline) -> set[str]:
    """Tell it so, and wait until two are told to take nothing more; the pod that stays."""
    await pipeline.change({"scaling": {"minReplicas": 0, "maxReplicas": 1}})
    await pipeline.until_draining(2)
    drained = await pipeline.draining()
    return {beat.host for beat in await pipeline.beats() if beat.worker_id not in drained}


async def only_left(pipeline: Pipeline, stays: set[str]) -> None:
    """The victims went, and no other pod, and no score was interrupted."""
    await pipeline.until_replicas(1)
    await pipeline.until_ready(1)
    assert names(await pipeline.ready_pods()) == stays
    assert interrupted(await pipeline.settle()) == 0


async def test_scale_in_never_interrupts_a_score(pipelines: Pipelines) -> None:
    pipeline = await three_busy(pipelines)
    await only_left(pipeline, await shrunk_to_one(pipeline))


async def test_operator_killed_in_mid_drain_goes_on(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await three_busy(pipelines)
    stays = await shrunk_to_one(pipeline)
    await cluster.kill("operator")
    await only_left(pipeline, stays)


async def test_off_switch_workers_that_are_not_emptied_first_are_interrupted(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    async with cluster.operator_without("drain_first"):
        pipeline = await three_busy(pipelines)
        await pipeline.change({"scaling": {"minReplicas": 0, "maxReplicas": 1}})
        assert interrupted(await pipeline.settle()) > 0


async def test_burst_during_drain_undrains(pipelines: Pipelines) -> None:
    pipeline = await pipelines.make(
        {"worker": {"drainTimeoutSeconds": 120}, "scorer": {"serviceSeconds": 40}},
        {"scaling": {"minReplicas": 2, "maxReplicas": 2}},
    )
    await busy(pipeline, 2, each=4)
    before = names(await pipeline.ready_pods())
    await pipeline.change({"scaling": {"minReplicas": 0}})
    await pipeline.until_draining(1)
    await pipeline.until_condition("Draining", "True")
    await pipeline.submit(40)
    await pipeline.until_draining(0)
    assert names(await pipeline.ready_pods()) == before
    assert not await pipeline.events("ScaledIn")
    assert await pipeline.until_events("Undrained")


async def test_drain_timeout_requeues_once(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make(
        {"worker": {"drainTimeoutSeconds": 5}, "scorer": {"serviceSeconds": 30}},
        {"scaling": {"minReplicas": 2, "maxReplicas": 2}},
    )
    await busy(pipeline, 2, each=4)
    await pipeline.change({"scaling": {"minReplicas": 0, "maxReplicas": 1}})
    await pipeline.until_replicas(1)
    books = await pipeline.settle(within_seconds=200)
    assert sorted(row["attempts"] for row in books) == [1] * 4 + [2] * 4
    released = await cluster.query(
        "SELECT count(*) FROM attempts t JOIN applications a ON a.id = t.application_id"
        " WHERE a.pipeline = $1 AND t.outcome = 'released'",
        pipeline.name,
    )
    assert released[0][0] == 4  # given back, not found dead
