"""The chart as a release: installed with helm's own library, and removed without a trace."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import helm_python as helm

from testkit.kubernetes.chart import CHART, crd
from testkit.kubernetes.cluster import Cluster
from testkit.kubernetes.namespaces import define, make_namespace, remove_namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testkit.kubernetes.cluster import Json, Release

_SECONDS = 400


SCALING: Json = {"maxReplicas": 3, "idleSeconds": 5, "downWindowSeconds": 5}
"""Of the chart's own pipeline: quick, and no more than two cores can start."""


def small_values() -> Json:
    """The chart as it comes, but small, and with images that are there.

    They are named by SHORTLIST_IMAGE, SHORTLIST_OPERATOR_IMAGE, SHORTLIST_POSTGRES_IMAGE and
    SHORTLIST_REDIS_IMAGE.
    """
    return {
        "image": _image("SHORTLIST_IMAGE", "localhost/shortlist:test"),
        "operatorImage": _image("SHORTLIST_OPERATOR_IMAGE", "localhost/shortlist-operator:test"),
        # All requests have one address: the API server's.
        "ingest": {"replicas": 1, "env": {"SHORTLIST_PUBLIC_RATE_LIMIT_PER_SECOND": "0"}},
        "maintenance": {"replicas": 1},
        "postgres": {
            "image": _image("SHORTLIST_POSTGRES_IMAGE", "localhost/postgres:17"),
            "storage": {"size": "1Gi"},
        },
        "redis": {"image": _image("SHORTLIST_REDIS_IMAGE", "localhost/redis:8")},
    }


def chart_values() -> Json:
    """What the suite's chart is installed with."""
    return small_values() | {"pipeline": {"spec": {"scaling": SCALING}}}


def _image(variable: str, default: str) -> Json:
    repository, _, tag = os.environ.get(variable, default).rpartition(":")
    return {"repository": repository, "tag": tag}


class Helm:
    """What `helm` does to one release; each waits until the release is as it should be."""

    def __init__(self, config: helm.Config, release: Release) -> None:
        self._config = config
        self._release = release

    def install(self, values: Json) -> None:
        """For the first time; nothing when it is installed already."""
        if not self._config.list(all_states=True):
            self._config.install(CHART, self._release.name, values, **_waiting())

    def upgrade(self, values: Json) -> None:
        """To other values."""
        self._config.upgrade(CHART, self._release.name, values, **_waiting())

    def rollback(self) -> None:
        """To what it was before."""
        self._config.rollback(self._release.name, **_waiting())

    def uninstall(self) -> None:
        """Remove it."""
        self._config.uninstall(self._release.name, **_waiting())


def _waiting() -> dict[str, Any]:
    return {"wait": "watcher", "timeout": _SECONDS}


@contextmanager
def helm_of(release: Release) -> Iterator[Helm]:
    """Helm, for one release."""
    with helm.Config(namespace=release.namespace) as config:
        yield Helm(config, release)


@contextmanager
def installed(release: Release, values: Json, *, keep: bool = False) -> Iterator[None]:
    """The chart, in a namespace of its own that enforces the restricted standard."""
    asyncio.run(_prepare(release))
    with helm_of(release) as its_helm:
        its_helm.install(values)
        yield
        if not keep:
            its_helm.uninstall()
            asyncio.run(_remove(release))


async def _prepare(release: Release) -> None:
    async with Cluster(release) as cluster:
        await define(cluster, crd())
        await make_namespace(cluster)


async def _remove(release: Release) -> None:
    async with Cluster(release) as cluster:
        await remove_namespace(cluster)
