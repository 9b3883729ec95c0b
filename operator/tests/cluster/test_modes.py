"""What the operator must leave alone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Cluster
    from testkit.kubernetes.pipelines import Pipelines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


async def test_dry_run_changes_nothing(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make({"scaling": {"minReplicas": 1}})
    await pipeline.until_ready(1)
    await pipeline.until_granted(5, 1)
    await pipeline.change({"scaling": {"mode": "DryRun", "minReplicas": 0}})
    await pipeline.until_reason("dry run")
    before = (await cluster.get(pipeline.deployment_path))["metadata"]["generation"]
    grants = await pipeline.grants()
    await pipeline.submit(80)

    async def more_wanted() -> bool:
        return await pipeline.wanted() > 1

    await cluster.until(more_wanted, what="more workers are wanted")
    await pipeline.settle()

    async def fewer_wanted() -> bool:
        return await pipeline.wanted() == 0

    await cluster.until(fewer_wanted, what="fewer workers are wanted")
    after = (await cluster.get(pipeline.deployment_path))["metadata"]["generation"]
    assert after == before
    assert await pipeline.grants() == grants
    assert not await pipeline.draining()
    assert not await pipeline.events("ScaledOut")
    assert not await pipeline.events("ScaledIn")


async def test_in_a_dry_run_connections_are_granted_all_the_same(pipelines: Pipelines) -> None:
    """Another controller starts the workers: with their first grant they score one at a time."""
    pipeline = await pipelines.make({"scaling": {"mode": "DryRun", "minReplicas": 1}})
    await pipeline.until_granted(5, 1)


async def test_rollout_does_not_feed_back(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make(
        {"worker": {"concurrency": 10}, "scaling": {"minReplicas": 2, "maxReplicas": 6}}
    )
    await pipeline.until_ready(2)
    old = {pod["metadata"]["name"] for pod in await pipeline.pods()}
    seen: set[int] = set()
    most_pods = 0
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(pipeline.load(3))
        await pipeline.roll()

        async def rolled() -> bool:
            nonlocal most_pods
            pods = await pipeline.pods()
            most_pods = max(most_pods, len(pods))
            seen.add(await pipeline.replicas())
            return len(pods) == 2 and not old & {pod["metadata"]["name"] for pod in pods}

        await cluster.until(rolled, what="both workers are new")
    await pipeline.settle()
    assert most_pods > 2  # there were more pods than replicas for a while …
    assert seen == {2}  # … and no status took them for more workers, or for fewer
