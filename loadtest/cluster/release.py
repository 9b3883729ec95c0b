"""The chart in a namespace that a run makes, and removes when it is over."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from testkit.kubernetes.chart import merged
from testkit.kubernetes.helm import helm_of, small_values
from testkit.kubernetes.namespaces import own_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.kubernetes.cluster import Cluster


@asynccontextmanager
async def installed(name: str, *values: dict[str, Any]) -> AsyncIterator[Cluster]:
    """Install the chart, small, with ``values`` laid over it."""
    async with own_namespace(name) as cluster:
        with helm_of(cluster.release) as helm:
            await asyncio.to_thread(helm.install, merged(small_values(), *values))
            yield cluster


async def resize_workers(cluster: Cluster, replicas: int, *, initial_grant: int | None) -> None:
    """Replace all workers by so many, by hand; each begins with ``initial_grant`` connections.

    None: with what the chart gives it, the least that works.
    """
    path = cluster.deployments(cluster.part("worker"))
    await cluster.scale(path, 0)
    await cluster.until_none("worker")
    container: dict[str, Any] = {"name": "worker"}
    if initial_grant is not None:
        variable = {"name": "SHORTLIST_INITIAL_GRANT", "value": str(initial_grant)}
        container["env"] = [variable]
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    await cluster.call("PATCH", path, change, "application/strategic-merge-patch+json")
    await cluster.scale(path, replicas)
    await cluster.until_ready("worker", replicas)
