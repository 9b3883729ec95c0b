"""An operator outside the cluster: a process of the test's own, with servers of the test's own.

It acts in a namespace of a real cluster, which it reaches through a proxy
(`testkit.operator.proxy`). Its workers' pods reach nothing: they ask for more than any node has,
and are never started. What a test shows with it is how many are asked for.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from uuid_utils.compat import uuid7

from shortlist.domain.line.application import ApplicationId, NewApplication, PipelineName
from shortlist.storage.postgres.queries import applications
from shortlist.storage.redis.line import Entry, Line
from testkit.kubernetes.chart import merged
from testkit.kubernetes.cluster import Cluster
from testkit.kubernetes.helm import chart_values
from testkit.kubernetes.namespaces import own_namespace
from testkit.kubernetes.pipelines import Pipeline, Pipelines
from testkit.operator.proxy import Proxy
from testkit.processes.stack import Service, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.databases.servers import Servers
    from testkit.kubernetes.cluster import Json, Release

NEVER_STARTED: Json = {"worker": {"template": {"resources": {"requests": {"cpu": "1000"}}}}}


class ClusterOutside(Cluster):
    """A namespace whose servers are on this machine."""

    def __init__(self, release: Release, servers: Servers) -> None:
        super().__init__(release)
        self.local = servers

    @asynccontextmanager
    async def reached(self, server: Literal["postgres", "redis"]) -> AsyncIterator[str]:
        """Its URL, from here."""
        yield self.local.postgres.url if server == "postgres" else self.local.redis.url


@dataclass(frozen=True)
class Outside:
    """What a test works with."""

    cluster: ClusterOutside
    proxy: Proxy
    operator: Service
    pipelines: Pipelines

    async def make(self, *specs: Json, name: str | None = None) -> Pipeline:
        """A pipeline whose workers are asked for, and never start."""
        return await self.pipelines.make(NEVER_STARTED, *specs, name=name)

    async def line_up(self, pipeline: Pipeline, count: int) -> None:
        """Put applications on the line, as ingest does."""
        name = PipelineName(pipeline.name)
        group = [
            NewApplication(ApplicationId(uuid7()), name, "Ada", "payload") for _ in range(count)
        ]
        async with self.cluster.database() as database, self.cluster.redis() as client:
            await applications.accept(database, group)
            await Line(client, name).publish([Entry(a.id) for a in group])

    async def is_well(self) -> bool:
        """Whether the operator lives, and says that it need not be restarted."""
        return self.operator.alive and await status_of(f"{self.operator.url}/healthz") == 200


@asynccontextmanager
async def outside(servers: Servers, directory: Path) -> AsyncIterator[Outside]:
    """An operator, and a namespace for it; nothing is left at the end of the block."""
    async with (
        own_namespace("outside") as made,
        ClusterOutside(made.release, servers) as cluster,
        Proxy() as proxy,
    ):
        environment = _environment(cluster, proxy, directory)
        operator = Service("operator", "operator", environment, directory)
        operator.spawn()
        pipelines = Pipelines(cluster, chart_values()["image"])
        try:
            await operator.ready()
            yield Outside(cluster, proxy, operator, pipelines)
        except BaseException:
            print(operator.tail())  # noqa: T201 (pytest shows it when the test fails)
            raise
        finally:
            operator.bury()
            await pipelines.remove()


def _environment(cluster: ClusterOutside, proxy: Proxy, directory: Path) -> dict[str, str]:
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(_through(proxy)), encoding="utf-8")
    return {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(kubeconfig),
        "DATABASE_URL": cluster.local.postgres.url,
        "REDIS_URL": cluster.local.redis.url,
        "SHORTLIST_HOST": "127.0.0.1",
        "SHORTLIST_OPERATOR_NAMESPACE": cluster.namespace,
    }


def _through(proxy: Proxy) -> Json:
    """The test's own kubeconfig, by way of the proxy."""
    config: Json = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"))
    for cluster in config["clusters"]:
        cluster["cluster"] = merged(cluster["cluster"], {"proxy-url": proxy.url})
    return config
