"""Another controller sizes the workers: ours reports it, changes nothing, goes on afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Cluster
    from testkit.kubernetes.pipelines import Pipeline, Pipelines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def hpa(pipeline: Pipeline, *, replicas: int) -> dict[str, Any]:
    """An autoscaler that wants so many of the pipeline's workers, whatever they do."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": pipeline.name},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": f"{pipeline.name}-worker",
            },
            "minReplicas": replicas,
            "maxReplicas": replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
                    },
                }
            ],
        },
    }  # fmt: skip


async def test_conflicting_hpa_is_refused(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make({"scaling": {"minReplicas": 1, "maxReplicas": 4}})
    await pipeline.until_ready(1)

    other = hpa(pipeline, replicas=2)
    await cluster.apply(other)
    refused = await until_ready_is(cluster, pipeline, "False")
    assert refused["reason"] == "ConflictingScaler"
    assert f"HorizontalPodAutoscaler/{pipeline.name}" in refused["message"]
    assert any(pipeline.name in said for said in await pipeline.until_events("ConflictingScaler"))

    # Hands off: the HPA has its two, though ours would take one away, and later add some.
    await pipeline.until_replicas(2)
    before = await generation(cluster, pipeline)
    await pipeline.submit(30)
    await pipeline.settle()
    assert await generation(cluster, pipeline) == before
    assert (await pipeline.condition("Ready"))["reason"] == "ConflictingScaler"

    await cluster.delete(f"{cluster.path_of(other)}/{pipeline.name}")
    await until_ready_is(cluster, pipeline, "True")
    await pipeline.until_replicas(1)


async def until_ready_is(cluster: Cluster, pipeline: Pipeline, status: str) -> dict[str, Any]:
    async def says() -> dict[str, Any] | None:
        ready = await pipeline.condition("Ready")
        return ready if ready.get("status") == status else None

    found: dict[str, Any] = await cluster.until(says, what=f"{pipeline.name} is Ready={status}")
    return found


async def generation(cluster: Cluster, pipeline: Pipeline) -> int:
    """How often a client changed what the Deployment should be, its replicas included."""
    found = await cluster.get(pipeline.deployment_path)
    return int(found["metadata"]["generation"])
