"""The chart on a real cluster, once for all tests of a run; each test makes its own pipelines.

    KUBECONFIG=… uv run pytest -m cluster -n 0

Images are named by SHORTLIST_IMAGE, SHORTLIST_OPERATOR_IMAGE, SHORTLIST_POSTGRES_IMAGE and
SHORTLIST_REDIS_IMAGE; what they are by default is in `testkit.kubernetes.helm`. SHORTLIST_NAMESPACE
names a namespace in which the release is left, and is found by the next run: for authors of tests.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from testkit.databases.servers import Servers
from testkit.kubernetes.cluster import Cluster, Release
from testkit.kubernetes.helm import chart_values, installed
from testkit.kubernetes.pipelines import Pipelines
from testkit.operator.outside import Outside, outside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def release() -> Iterator[Release]:
    """The chart, installed with helm."""
    if "KUBECONFIG" not in os.environ:
        pytest.fail("KUBECONFIG must name a cluster, see operator/tests/cluster/conftest.py")
    kept = os.environ.get("SHORTLIST_NAMESPACE")
    made = Release(kept or f"shortlist-{uuid4().hex[:6]}")
    with installed(made, chart_values(), keep=kept is not None):
        yield made


@pytest.fixture
async def cluster(release: Release) -> AsyncIterator[Cluster]:
    """The release."""
    async with Cluster(release) as connected:
        yield connected


@pytest.fixture
async def pipelines(cluster: Cluster) -> AsyncIterator[Pipelines]:
    """Makes ScoringPipelines that are gone, with their workers, when the test is over."""
    made = Pipelines(cluster, chart_values()["image"])
    try:
        yield made
    finally:
        await made.remove()


@pytest.fixture(scope="session")
def servers_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Postgres and a Redis on this machine."""
    started = asyncio.run(Servers.start(tmp_path_factory.mktemp("servers")))
    yield started
    asyncio.run(started.stop())


@pytest.fixture
async def outsider(servers_outside: Servers, tmp_path: Path) -> AsyncIterator[Outside]:
    """An operator on this machine, with a namespace of its own in the cluster."""
    async with outside(servers_outside, tmp_path) as made:
        yield made
