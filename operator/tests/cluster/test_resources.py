"""Resources and their Deployments are deleted, edited in mid-drain, and have neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testkit.kubernetes.cluster import names
from testkit.kubernetes.pipelines import interrupted

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Cluster, Json
    from testkit.kubernetes.pipelines import Pipeline, Pipelines
    from testkit.operator.outside import Outside

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


async def until_nothing_is_left(cluster: Cluster, pipeline: Pipeline) -> None:
    """Wait until Kubernetes has removed a resource and all that it owned, without our help."""
    paths = [cluster.pipelines(pipeline.name), pipeline.deployment_path]

    async def gone() -> bool:
        return not any([await cluster.find(path) for path in paths]) and not await pipeline.pods()

    await cluster.until(gone, what=f"{pipeline.name}, its Deployment and its pods are gone")


async def test_a_dead_operator_does_not_block_deletion(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline = await pipelines.make({"scaling": {"minReplicas": 2}})
    await pipeline.until_ready(2)
    async with cluster.without(cluster.deployments(cluster.part("operator")), "operator"):
        for thing in (await pipeline.resource(), await cluster.get(pipeline.deployment_path)):
            assert "finalizers" not in thing["metadata"]
        await cluster.delete(cluster.pipelines(pipeline.name))
        await until_nothing_is_left(cluster, pipeline)


async def test_a_resource_of_the_same_name_takes_the_line_up(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline = await pipelines.make({"scaling": {"mode": "Paused"}})
    await pipeline.submit(10)
    await cluster.delete(cluster.pipelines(pipeline.name))
    await pipelines.make(name=pipeline.name)  # at once: the operator may not notice that it is new
    assert len(await pipeline.settle()) == 10
    await cluster.delete(cluster.pipelines(pipeline.name))
    await until_nothing_is_left(cluster, pipeline)


async def test_a_deleted_deployment_is_made_anew(cluster: Cluster, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make({"scaling": {"minReplicas": 1}})
    await pipeline.until_ready(1)
    old = names(await pipeline.pods())
    await cluster.delete(pipeline.deployment_path)
    await pipeline.submit(20)

    async def anew() -> bool:
        return bool(names(await pipeline.ready_pods()) - old)

    await cluster.until(anew, what="a new worker is ready")
    assert len(await pipeline.settle()) == 20
    assert len(await pipeline.until_events("DeploymentCreated", 2)) == 2


async def test_a_workers_deployment_that_is_missing_is_waited_for(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline, deployment = await pipelines.refer()
    assert (await pipeline.until_condition("Ready", "False"))["reason"] == "TargetMissing"
    for _ in range(2):
        await pipeline.submit(5)  # accepted whether there is a worker or not
        await cluster.apply(deployment)
        await pipeline.until_condition("Ready", "True")
        await pipeline.settle()
        await cluster.delete(pipeline.deployment_path)
        missing = await pipeline.until_condition("Ready", "False")
        assert missing["reason"] == "TargetMissing"
        assert deployment["metadata"]["name"] in missing["message"]
    assert not await pipeline.events("DeploymentCreated")  # it is not the operator's to make


@pytest.mark.parametrize(
    "edit",
    [{"scaling": {"minReplicas": 2, "maxReplicas": 2}}, {"worker": {"drainTimeoutSeconds": 60}}],
    ids=["more workers", "another time-out"],
)
async def test_an_edit_in_mid_drain_interrupts_no_score(edit: Json, pipelines: Pipelines) -> None:
    pipeline = await pipelines.make(
        {"scorer": {"serviceSeconds": 20}, "scaling": {"minReplicas": 2, "maxReplicas": 2}}
    )
    await pipeline.until_ready(2)
    await pipeline.until_granted(5, 2)
    before = names(await pipeline.ready_pods())
    await pipeline.submit(8)
    await pipeline.until_in_flight(8)
    await pipeline.change({"scaling": {"minReplicas": 0, "maxReplicas": 1}})
    await pipeline.until_draining(1)
    await pipeline.change(edit)
    if "scaling" in edit:
        await pipeline.until_events("Undrained")
        assert not await pipeline.draining()
        assert names(await pipeline.ready_pods()) == before
    else:  # each is replaced, and then one of them goes
        await pipeline.until_events("ScaledIn")
        assert not names(await pipeline.ready_pods()) & before
    books = await pipeline.settle()
    assert len(books) == 8
    assert interrupted(books) == 0


async def test_what_is_taken_out_of_a_resource_leaves_its_deployment(outsider: Outside) -> None:
    """By server-side apply: the maker of the Deployment must not own its parts a second time."""
    pipeline = await outsider.make(
        {"worker": {"template": {"env": [{"name": "FIRST", "value": "1"}]}}}
    )

    async def has_variable() -> bool:
        found = await outsider.cluster.get(pipeline.deployment_path)
        (container,) = found["spec"]["template"]["spec"]["containers"]
        return "FIRST" in {variable["name"] for variable in container["env"]}

    async def has_not() -> bool:
        return not await has_variable()

    assert await has_variable()
    assert await pipeline.replicas() == 0
    template = (await pipeline.resource())["spec"]["worker"]["template"]
    await pipeline.change({"worker": {"template": template | {"env": []}}})
    await outsider.cluster.until(has_not, what="the variable is gone")
    assert await pipeline.replicas() == 0  # who applies does not say how many


async def test_pipelines_of_one_namespace_do_not_touch_each_other(pipelines: Pipelines) -> None:
    still = await pipelines.make({"scaling": {"minReplicas": 1}})
    moving = await pipelines.make()
    await still.until_granted(5, 1)
    async with still.unmoved():
        await moving.submit(60)
        await moving.until_replicas(3)
        await moving.settle()
        await moving.until_replicas(0)
    await still.submit(4)
    assert interrupted(await still.settle()) == 0


async def test_the_same_name_in_two_namespaces(pipelines: Pipelines, outsider: Outside) -> None:
    here = await pipelines.make({"scaling": {"minReplicas": 1}})
    await here.until_granted(5, 1)
    there = await outsider.make(name=here.name)
    async with here.unmoved():
        await outsider.line_up(there, 400)
        await there.until_replicas(3)
    async with there.unmoved():
        await here.change({"scaling": {"minReplicas": 2}})
        await here.until_granted(5, 2)
    async with here.unmoved():
        await outsider.cluster.delete(outsider.cluster.pipelines(there.name))
        await until_nothing_is_left(outsider.cluster, there)
