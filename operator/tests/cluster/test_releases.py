"""Installing, upgrading and rolling back, with helm itself, while applications come in."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from testkit.kubernetes.chart import merged
from testkit.kubernetes.cluster import Cluster, Release
from testkit.kubernetes.helm import chart_values, helm_of, installed
from testkit.kubernetes.pipelines import Pipeline, interrupted

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


async def test_helm_upgrade_and_rollback_lose_nothing(cluster: Cluster, release: Release) -> None:
    pipeline = Pipeline(cluster, "default", cluster.part("worker"))
    revisions = {part: await revision(cluster, part) for part in ("ingest", "worker")}
    with helm_of(release) as helm:
        async with pipeline.load(12):

            async def scaled() -> bool:
                return await pipeline.replicas() >= 2

            await cluster.until(scaled, what="two workers of the chart's")
            other_values = merged(chart_values(), {"logLevel": "warning"})
            await asyncio.to_thread(helm.upgrade, other_values)
            assert await scaled()  # the chart does not say how many
            for part, before in revisions.items():
                assert await revision(cluster, part) > before, part  # they were replaced
            await asyncio.to_thread(helm.rollback)
            assert await scaled()
    books = await pipeline.settle()
    assert not pipeline.refused, pipeline.refused[:5]
    assert interrupted([row for row in books if row["id"] in pipeline.accepted]) == 0


async def revision(cluster: Cluster, part: str) -> int:
    """How often a Deployment's template changed."""
    found = await cluster.get(cluster.deployments(cluster.part(part)))
    return int(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


async def test_existing_servers_by_url(cluster: Cluster, release: Release) -> None:
    await cluster.query("DROP DATABASE IF EXISTS elsewhere WITH (FORCE)")
    await cluster.query("CREATE DATABASE elsewhere")
    await cluster.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "servers-for-all"},
            "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 5432}, {"port": 6379}]}]},
        }
    )
    there = {name: at_service(url, release) for name, url in (await cluster.servers()).items()}
    database = there["ADMIN_DATABASE_URL"].removesuffix("shortlist") + "elsewhere"
    values = merged(
        chart_values(),
        {
            "postgres": {"enabled": False, "url": database},
            "redis": {"enabled": False, "url": there["REDIS_URL"].replace(":6379/0", ":6379/1")},
        },
    )
    other = Release(f"{release.namespace}-by-url", servers_namespace=release.namespace)
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, installed(other, values))
        async with Cluster(other) as elsewhere:
            pipeline = Pipeline(elsewhere, "default", elsewhere.part("worker"))
            await pipeline.until_condition("Ready", "True")
            await pipeline.submit(20)
            assert len(await pipeline.settle()) == 20
        await asyncio.to_thread(stack.close)


def at_service(url: str, release: Release) -> str:
    """The same server, as other namespaces call it."""
    for server in ("postgres", "redis"):
        name = f"{release.name}-{server}"
        url = url.replace(f"@{name}:", f"@{name}.{release.namespace}:")
    return url
