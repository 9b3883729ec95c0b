"""The cluster's own API server is killed, and comes back.

By name, as it needs more than KUBECONFIG: `uv run pytest -m apiserver -n 0`.
SHORTLIST_API_SERVER_RESTART is a command that kills the API server, lets it be away for at least
`AWAY_SECONDS`, starts it, and ends when it answers again (`.ci/restart-api-server`, for one).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from typing import TYPE_CHECKING

import pytest

from testkit.kubernetes.cluster import names
from testkit.kubernetes.pipelines import interrupted

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Cluster, Json
    from testkit.kubernetes.pipelines import Pipelines

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

AWAY_SECONDS = 20
"""Longer than the operator's Lease lasts."""


async def restart_api_server() -> None:
    process = await asyncio.create_subprocess_shell(os.environ["SHORTLIST_API_SERVER_RESTART"])
    assert await process.wait() == 0


def restarts(pods: list[Json]) -> dict[str, int]:
    """Pod → how often its containers were started again."""
    return {
        pod["metadata"]["name"]: sum(c["restartCount"] for c in pod["status"]["containerStatuses"])
        for pod in pods
    }


async def test_the_api_server_is_killed_in_a_burst_and_work_goes_on(
    cluster: Cluster, pipelines: Pipelines
) -> None:
    pipeline = await pipelines.make()
    await pipeline.submit(400)  # three workers need half a minute and more
    await pipeline.until_ready(3)
    await pipeline.until_granted(5, 3)
    pods, operators = names(await pipeline.pods()), restarts(await cluster.pods_of("operator"))
    killed_at = dt.datetime.now(dt.UTC)
    await restart_api_server()
    back_at = dt.datetime.now(dt.UTC)
    assert (back_at - killed_at).total_seconds() > AWAY_SECONDS
    assert await pipeline.replicas() == 3
    assert names(await pipeline.pods()) == pods
    assert interrupted(await pipeline.settle()) == 0
    (scored,) = await cluster.query(
        """
        SELECT count(*) FROM results r JOIN applications a ON a.id = r.application_id
        WHERE a.pipeline = $1 AND r.finished_at > $2 AND r.finished_at < $3
        """,
        pipeline.name,
        killed_at + dt.timedelta(seconds=5),  # whatever the machines' clocks say
        killed_at + dt.timedelta(seconds=AWAY_SECONDS - 5),
    )
    assert scored["count"] > 0, "nothing was scored while it was away"
    await pipeline.until_replicas(0)  # the operator goes on, the same one as before
    assert restarts(await cluster.pods_of("operator")) == operators
    await pipeline.submit(10)
    await pipeline.settle()
