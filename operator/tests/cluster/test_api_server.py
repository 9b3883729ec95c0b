"""The API server and the operator's watch come and go, and its Postgres.

The operator runs outside the cluster (`testkit.operator.outside`): there a test can get between it
and the API server, which it cannot stop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from testkit.operator.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testkit.kubernetes.pipelines import Pipeline
    from testkit.operator.outside import Outside

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

KOPF_NOTICES_SECONDS = 60.0
"""A bit less than kopf takes to find out by itself that its watch has stalled."""


async def generation(outsider: Outside, pipeline: Pipeline) -> int:
    """How often a client changed what the Deployment should be."""
    found = await outsider.cluster.get(pipeline.deployment_path)
    return int(found["metadata"]["generation"])


@pytest.mark.parametrize("breaks", [Proxy.refuse, Proxy.hang], ids=["refuses", "hangs"])
async def test_the_api_server_is_away_and_the_operator_goes_on_when_it_is_back(
    outsider: Outside, breaks: Callable[[Proxy], Awaitable[None]]
) -> None:
    pipeline = await outsider.make()
    await outsider.line_up(pipeline, 1)
    await pipeline.until_replicas(1)
    await pipeline.until_events("ScaledOut")
    before = await generation(outsider, pipeline)
    await breaks(outsider.proxy)
    await outsider.line_up(pipeline, 400)

    async def blind_for_long() -> bool:
        assert await outsider.is_well()
        failures = await outsider.operator.metric("shortlist_operator_tick_failures_total")
        acting = await outsider.operator.metric("shortlist_operator_acting")
        return failures >= 3 and not acting

    await outsider.cluster.until(blind_for_long, what="the Lease has run out")
    assert await generation(outsider, pipeline) == before
    await outsider.proxy.recover()
    await pipeline.until_replicas(3)
    first, second = await pipeline.until_events("ScaledOut", 2)
    assert first.startswith("0→")  # how many at first is the policy's, and not tested here
    assert second.startswith("1→3:")
    assert len(await pipeline.events("DeploymentCreated")) == 1
    assert await generation(outsider, pipeline) == before + 1  # it was done once
    assert await outsider.is_well()


async def test_a_watch_that_stalls_hides_nothing(outsider: Outside) -> None:
    pipeline = await outsider.make()
    await outsider.line_up(pipeline, 400)
    await pipeline.until_replicas(3)
    await outsider.proxy.stall()
    async with asyncio.timeout(KOPF_NOTICES_SECONDS):
        late = await outsider.make()
        await late.until_condition("Ready", "True")
        await pipeline.change({"scaling": {"maxReplicas": 4}})
        await pipeline.until_replicas(4)
        await outsider.line_up(late, 400)
        await late.until_replicas(3)
    assert await outsider.is_well()


async def test_a_postgres_that_hangs_takes_nobody_away(outsider: Outside) -> None:
    pipeline = await outsider.make({"scaling": {"minReplicas": 3}})
    await pipeline.until_replicas(3)
    await pipeline.until_condition("MetricsAvailable", "True")
    outsider.cluster.local.freeze_postgres()
    try:
        found = await pipeline.until_condition("MetricsAvailable", "False")
        assert found["reason"] == "PostgresUnreadable"
        await pipeline.change({"scaling": {"minReplicas": 0}})  # nothing waits, no worker is busy

        async def blind_for_long() -> bool:
            assert await outsider.is_well()
            assert await pipeline.replicas() == 3
            return await outsider.operator.metric("shortlist_operator_tick_seconds_count") >= over

        over = await outsider.operator.metric("shortlist_operator_tick_seconds_count") + 10
        await outsider.cluster.until(blind_for_long, what="ten looks without Postgres")
        assert (await pipeline.condition("ConnectionBudgetExhausted"))["status"] == "Unknown"
    finally:
        outsider.cluster.local.thaw_postgres()
    await pipeline.until_condition("MetricsAvailable", "True")
    await pipeline.until_replicas(0)  # and it goes on
