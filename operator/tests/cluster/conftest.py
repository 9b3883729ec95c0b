"""The chart on a real cluster, once for all tests of a run; each test makes its own pipelines.

    KUBECONFIG=… uv run pytest -m cluster -n 0

Images are named by SHORTLIST_IMAGE, SHORTLIST_OPERATOR_IMAGE, SHORTLIST_POSTGRES_IMAGE and
SHORTLIST_REDIS_IMAGE; what they are by default is below. SHORTLIST_NAMESPACE names a namespace in
which the release is left installed, and is found by the next run: for whoever writes tests.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from uuid import uuid4

import helm_python as helm
import pytest

from support.chart import CHART, crd
from support.cluster import Cluster, Refused, Release
from support.pipelines import Pipelines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.cluster import Json

_INSTALL_SECONDS = 300


@pytest.fixture(scope="session")
def release() -> Iterator[Release]:
    """The chart, installed with helm in a namespace that enforces the restricted standard."""
    if "KUBECONFIG" not in os.environ:
        pytest.fail("KUBECONFIG must name a cluster, see operator/tests/cluster/conftest.py")
    kept = os.environ.get("SHORTLIST_NAMESPACE")
    made = Release(namespace=kept or f"shortlist-{uuid4().hex[:6]}")
    asyncio.run(_prepare(made))
    with helm.Config(namespace=made.namespace) as installed:
        if not installed.list(all_states=True):
            installed.install(CHART, made.name, values(), wait="watcher", timeout=_INSTALL_SECONDS)
        yield made
        if kept is None:
            installed.uninstall(made.name, wait="watcher", timeout=_INSTALL_SECONDS)
            asyncio.run(_remove(made))


def values() -> Json:
    """What the chart is installed with: as it comes, but small, and with images that are there."""
    return {
        "image": image("SHORTLIST_IMAGE", "localhost/shortlist:test"),
        "operatorImage": image("SHORTLIST_OPERATOR_IMAGE", "localhost/shortlist-operator:test"),
        "ingest": {"replicas": 1},
        "maintenance": {"replicas": 1},
        "postgres": {
            "image": image("SHORTLIST_POSTGRES_IMAGE", "localhost/postgres:17"),
            "storage": {"size": "1Gi"},
        },
        "redis": {"image": image("SHORTLIST_REDIS_IMAGE", "localhost/redis:8")},
        "pipeline": {"spec": {"scaling": {"idleSeconds": 5, "downWindowSeconds": 5}}},
    }


def image(variable: str, default: str) -> Json:
    """An image as the values want it."""
    repository, _, tag = os.environ.get(variable, default).rpartition(":")
    return {"repository": repository, "tag": tag}


async def _prepare(release: Release) -> None:
    async with Cluster(release) as cluster:
        definition = crd()
        path = f"/apis/{definition['apiVersion']}/customresourcedefinitions"
        name = definition["metadata"]["name"]
        await cluster.call(
            "PATCH",
            f"{path}/{name}?fieldManager=test&force=true",
            definition,
            "application/apply-patch+yaml",
        )
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": release.namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        }
        try:
            await cluster.call("POST", "/api/v1/namespaces", namespace)
        except Refused as error:
            if error.status != 409:
                raise


async def _remove(release: Release) -> None:
    async with Cluster(release) as cluster:
        path = f"/api/v1/namespaces/{release.namespace}"
        await cluster.delete(path)

        async def gone() -> bool:
            return await cluster.find(path) is None

        await cluster.until(gone, what=f"namespace {release.namespace} is gone")


@pytest.fixture
async def cluster(release: Release) -> AsyncIterator[Cluster]:
    """The release."""
    async with Cluster(release) as connected:
        yield connected


@pytest.fixture
async def pipelines(cluster: Cluster) -> AsyncIterator[Pipelines]:
    """Makes ScoringPipelines that are gone, with their workers, when the test is over."""
    made = Pipelines(cluster, values()["image"])
    try:
        yield made
    finally:
        await made.remove()
