"""Hiring on a cluster: deadlines, connections, and a release that is replaced in the middle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.sizing.pipeline import ConnectionsSpec
from testkit.kubernetes.chart import merged
from testkit.kubernetes.helm import chart_values, helm_of
from testkit.kubernetes.hiring import Opening

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Cluster, Release
    from testkit.kubernetes.pipelines import Pipelines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

BESIDE_WORKERS = """
SELECT count(*) FROM pg_stat_activity
WHERE starts_with(application_name, 'shortlist-')
  AND NOT starts_with(application_name, 'shortlist-worker ')
  AND application_name NOT IN ('shortlist-watch', 'shortlist-migrate')
"""


async def test_deadlines_are_met_while_applicants_come_through_the_service(
    cluster: Cluster,
) -> None:
    opening = await Opening.make(cluster, capacity=2, window_seconds=2)
    async with opening.load(1):
        await opening.until_decays(6)
        await cluster.kill("maintenance")
        await cluster.until_ready("maintenance")
        await opening.until_decays(12)
    assert not opening.refused, opening.refused[:5]
    late = await opening.lateness()
    assert min(late) > 0
    assert max(late) <= 30  # the only replica was killed: another had to be started
    assert sorted(late)[len(late) // 2] <= 1
    await opening.assert_all_held()


async def test_what_is_no_worker_stays_within_what_is_reserved(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline = await pipelines.make()
    opening = await Opening.make(cluster, capacity=2, window_seconds=1)
    seen: list[int] = []
    async with cluster.database() as connection, pipeline.load(8), opening.load(4):
        for _ in range(400):
            seen.append(await connection.fetchval(BESIDE_WORKERS))
            await asyncio.sleep(0.05)
    await pipeline.settle()
    assert opening.applied > 0
    assert max(seen) <= ConnectionsSpec().reserved
    assert max(seen) > 8, "too few were ever open: this shows nothing"


async def test_an_upgrade_and_a_rollback_in_the_middle_of_offers_break_nothing(
    cluster: Cluster, release: Release
) -> None:
    opening = await Opening.make(cluster, capacity=3, window_seconds=3)
    with helm_of(release) as helm:
        async with opening.load(2):
            await opening.until_decays(3)
            other_values = merged(chart_values(), {"logLevel": "warning"})
            await asyncio.to_thread(helm.upgrade, other_values)
            await opening.until_decays(len(await opening.lateness()) + 3)
            await asyncio.to_thread(helm.rollback)
            await opening.until_decays(len(await opening.lateness()) + 3)
    assert not opening.refused, opening.refused[:5]
    assert max(await opening.lateness()) <= 5
    await opening.assert_all_held()
