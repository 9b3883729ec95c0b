"""Applications go the whole way, and the workers follow the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testkit.kubernetes.chart import objects, of_kind
from testkit.kubernetes.helm import chart_values
from testkit.kubernetes.pipelines import interrupted

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Cluster
    from testkit.kubernetes.pipelines import Pipelines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


async def test_applications_are_scored_end_to_end(pipelines: Pipelines) -> None:
    pipeline = await pipelines.make()
    await pipeline.submit(20)
    books = await pipeline.settle()
    assert len(books) == 20
    await pipeline.until_condition("Ready", "True")


async def test_what_helm_test_starts_succeeds(cluster: Cluster) -> None:
    """A pod that has applications go the whole way; `helm test` makes it, and waits as we do."""
    rendered = objects(chart_values(), name=cluster.release.name)
    (pod,) = of_kind("Pod", rendered).values()
    path = cluster.pod(pod["metadata"]["name"])
    await cluster.apply(pod)
    try:

        async def ended() -> str | None:
            phase = (await cluster.get(path))["status"].get("phase", "")
            return phase if phase in ("Succeeded", "Failed") else None

        assert await cluster.until(ended, what="the pod has ended") == "Succeeded"
    finally:
        await cluster.delete(path)


async def test_zero_to_n_at_the_first_tick(pipelines: Pipelines) -> None:
    pipeline = await pipelines.make({"scaling": {"mode": "Paused"}})
    await pipeline.submit(40)
    assert await pipeline.replicas() == 0
    await pipeline.change({"scaling": {"mode": "Auto"}})
    await pipeline.until_replicas(3)
    (said,) = await pipeline.until_events("ScaledOut")
    assert said.startswith("0→3:"), said  # at once, not one after the other
    await pipeline.settle()


async def test_scale_out_on_a_burst_and_back(pipelines: Pipelines) -> None:
    pipeline = await pipelines.make()
    await pipeline.submit(60)
    await pipeline.until_replicas(3)
    books = await pipeline.settle()
    await pipeline.until_replicas(0)
    assert interrupted(books) == 0
    await pipeline.until_condition("Active", "False")
    await pipeline.until_events("ScaledIn")
