from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from shortlist_operator import metrics
from shortlist_operator.main import _STALE_SECONDS, Operator
from shortlist_operator.settings import OperatorSettings
from testkit.operator.api_server import ApiServer, connected
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOWHERE = "127.0.0.1:1"
PIPELINES = "/apis/shortlist.dev/v1alpha1/namespaces/prod/scoringpipelines"


@asynccontextmanager
async def an_operator(url: str) -> AsyncIterator[Operator]:
    """Its Postgres and its Redis are away; nothing runs that a test does not start."""
    settings = OperatorSettings(
        operator_namespace="prod",
        operator_identity="one",
        database_url=SecretStr(f"postgresql://{NOWHERE}/shortlist"),
        redis_url=SecretStr(f"redis://{NOWHERE}/0"),
    )
    async with connected(url) as kube:
        operator = Operator(settings, kube)
        yield operator
        for task in operator._tasks.values():
            task.cancel()
        await asyncio.gather(*operator._tasks.values(), return_exceptions=True)
        await operator.close()


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    """One whose API server is away as well."""
    async with an_operator(f"http://{NOWHERE}") as operator:
        yield operator


def test_no_cluster_at_all_is_told_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "shortlist_operator"],
        env={
            "KUBECONFIG": str(tmp_path / "none"),
            "DATABASE_URL": f"postgresql://{NOWHERE}/shortlist",
            "REDIS_URL": f"redis://{NOWHERE}/0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    *_, said = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 1
    assert "no_cluster" in said
    assert "KUBECONFIG" in said
    assert "Traceback" not in done.stdout + done.stderr


async def test_a_loop_that_hangs_is_a_reason_to_die(operator: Operator) -> None:
    operator._ensure_loop("cv")
    operator._loops["cv"].last_tick -= _STALE_SECONDS + 1
    health = await operator._liveness()
    assert (health.ok, health.detail) == (False, {"stale": ["cv"]})


async def test_an_api_server_that_is_away_is_none(operator: Operator) -> None:
    operator._ensure_loop("cv")
    loop = operator._loops["cv"]
    begun = loop.last_tick

    async def ticked() -> bool:
        return loop.last_tick > begun

    await until(ticked, what="the loop goes round all the same")
    assert (await operator._liveness()).ok


async def test_who_sees_no_pipelines_is_not_ready(operator: Operator) -> None:
    assert not (await operator._readiness()).ok


async def test_all_pipelines_are_known_before_one_is_sized() -> None:
    async with ApiServer() as server, an_operator(server.url) as operator:
        for name in ("a", "b"):
            server.keep(f"{PIPELINES}/{name}", {"metadata": {"name": name}})
        listing = asyncio.create_task(operator._keep_listing())

        async def listed() -> bool:
            return operator._is_listed

        await until(listed, what="the first listing")
        assert operator._loops.keys() == {"a", "b"}
        health = await operator._readiness()  # who does not act is ready all the same
        assert (health.ok, health.detail) == (True, {"acting": False})
        listing.cancel()
        await asyncio.gather(listing, return_exceptions=True)


async def test_a_loop_ends_with_its_resource_and_is_looked_at_no_more() -> None:
    async with ApiServer() as server, an_operator(server.url) as operator:
        operator._ensure_loop("gone")
        metrics.WAITERS.labels("gone").set(3)
        await operator._tasks["gone"]
        assert ("gone",) not in metrics.WAITERS._metrics  # nor does an alert go on for it
        assert operator._loops == {}
        assert (await operator._liveness()).ok
