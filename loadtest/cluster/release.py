"""The chart in a namespace that a run makes, and removes when it is over."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import helm_python as helm

from support.chart import CHART, merged
from support.namespaces import own_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.cluster import Cluster

_INSTALL_SECONDS = 300


@asynccontextmanager
async def installed(name: str, *values: dict[str, Any]) -> AsyncIterator[Cluster]:
    """The chart, as small as it gets, with ``values`` laid over it.

    Images are named by SHORTLIST_IMAGE, SHORTLIST_OPERATOR_IMAGE, SHORTLIST_POSTGRES_IMAGE and
    SHORTLIST_REDIS_IMAGE.
    """
    async with own_namespace(name) as cluster:
        with helm.Config(namespace=cluster.namespace) as charts:
            await asyncio.to_thread(
                charts.install,
                CHART,
                cluster.release.name,
                merged(_small(), *values),
                wait="watcher",
                timeout=_INSTALL_SECONDS,
            )
            yield cluster


def _small() -> dict[str, Any]:
    return {
        "image": _image("SHORTLIST_IMAGE", "localhost/shortlist:test"),
        "operatorImage": _image("SHORTLIST_OPERATOR_IMAGE", "localhost/shortlist-operator:test"),
        "ingest": {"replicas": 1},
        "maintenance": {"replicas": 1},
        "postgres": {
            "image": _image("SHORTLIST_POSTGRES_IMAGE", "localhost/postgres:17"),
            "storage": {"size": "1Gi"},
        },
        "redis": {"image": _image("SHORTLIST_REDIS_IMAGE", "localhost/redis:8")},
    }


def _image(variable: str, default: str) -> dict[str, str]:
    repository, _, tag = os.environ.get(variable, default).rpartition(":")
    return {"repository": repository, "tag": tag}


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
