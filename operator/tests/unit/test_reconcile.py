"""One loop's tick, with an API server that refuses; Postgres and Redis are away."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing.pipeline import ScoringPipeline
from shortlist.storage import redis
from shortlist_operator.budget import Budget
from shortlist_operator.kubernetes import desired
from shortlist_operator.kubernetes.lease import OperatorLease
from shortlist_operator.observe import Observer
from shortlist_operator.reconcile import PipelineLoop
from shortlist_operator.settings import OperatorSettings
from testkit.operator.api_server import ApiServer, Call, refusal
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

Json = dict[str, Any]

NOWHERE = "127.0.0.1:1"
PIPELINES = "/apis/shortlist.dev/v1alpha1/namespaces/prod/scoringpipelines"
DEPLOYMENTS = "/apis/apps/v1/namespaces/prod/deployments"
OWN = {"worker": {"template": {"image": "shortlist"}}}


def keep_pipeline(server: ApiServer, name: str, spec: Json, *, made: str = "2026-01-01") -> None:
    server.keep(
        f"{PIPELINES}/{name}",
        {
            "apiVersion": "shortlist.dev/v1alpha1",
            "kind": "ScoringPipeline",
            "metadata": {
                "name": name, "namespace": "prod", "uid": f"uid-{name}", "generation": 1,
                "creationTimestamp": f"{made}T00:00:00Z",
            },
            "spec": spec,
        },
    )  # fmt: skip


def keep_deployment(server: ApiServer, name: str, labels: Json) -> None:
    server.keep(
        f"{DEPLOYMENTS}/{name}",
        {
            "metadata": {"name": name, "labels": labels, "generation": 1},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "w"}}},
        },
    )


async def ticked(server: ApiServer, name: str) -> Json:
    """The status after one tick of a loop that holds the Lease."""
    async with a_loop(server, name) as loop:
        await loop._tick(server.objects[f"{PIPELINES}/{name}"])
    status: Json = server.objects[f"{PIPELINES}/{name}"]["status"]
    return status


@asynccontextmanager
async def a_loop(server: ApiServer, name: str) -> AsyncIterator[PipelineLoop]:
    async with server.kube() as kube:
        lease = OperatorLease(kube, "prod", "one", "lease")
        await lease.keep()
        assert lease.held
        observer = Observer(f"postgresql://{NOWHERE}/x", redis.connect(f"redis://{NOWHERE}/0"))
        try:
            yield PipelineLoop(kube, observer, lease, Budget(), OperatorSettings(), "prod", name)
        finally:
            await observer.close()


def condition(status: Json, kind: str) -> Json:
    return next(c for c in status["conditions"] if c["type"] == kind)


def writes(server: ApiServer, path: str) -> list[Call]:
    return [c for c in server.calls if c.method != "GET" and c.path.startswith(path)]


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


async def test_a_template_that_is_refused_is_told_and_what_runs_is_looked_after(
    server: ApiServer,
) -> None:
    async def refuse(call: Call) -> web.StreamResponse | None:
        bad = call.method == "PATCH" and call.path.startswith(DEPLOYMENTS)
        return refusal(422, "cpu: not a quantity") if bad else None

    keep_pipeline(server, "cv", OWN)
    own = desired.worker_labels(ScoringPipeline(name=PipelineName("cv")))
    keep_deployment(server, "cv-worker", own)
    server.arriving = refuse
    status = await ticked(server, "cv")
    ready = condition(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "DeploymentRefused")
    assert "not a quantity" in ready["message"]
    assert status["replicas"]["current"] == 2


async def test_a_deployment_that_cannot_be_made_is_told(server: ApiServer) -> None:
    async def refuse(call: Call) -> web.StreamResponse | None:
        return (
            refusal(403, "quota")
            if call.path.startswith(f"{DEPLOYMENTS}/") and (call.method == "PATCH")
            else None
        )

    keep_pipeline(server, "cv", OWN)
    server.arriving = refuse
    status = await ticked(server, "cv")
    assert condition(status, "Ready")["reason"] == "DeploymentRefused"
    assert condition(status, "Active")["status"] == "Unknown"


async def test_a_deployment_of_that_name_that_is_not_ours_is_left_alone(server: ApiServer) -> None:
    keep_pipeline(server, "cv", OWN)
    keep_deployment(server, "cv-worker", {"app.kubernetes.io/managed-by": "Helm"})
    ready = condition(await ticked(server, "cv"), "Ready")
    assert ready["reason"] == "DeploymentRefused"
    assert "belongs to another owner" in ready["message"]
    assert not writes(server, DEPLOYMENTS)


async def test_of_two_pipelines_on_one_deployment_the_elder_sizes_it(server: ApiServer) -> None:
    shared = {"workerRef": {"name": "w"}}
    keep_pipeline(server, "young", shared, made="2026-02-02")
    keep_pipeline(server, "old", shared)
    keep_deployment(server, "w", {})
    ready = condition(await ticked(server, "young"), "Ready")
    assert ready["reason"] == "ConflictingScaler"
    assert ready["message"].startswith("ScoringPipeline/old")
    assert condition(await ticked(server, "old"), "Ready")["reason"] != "ConflictingScaler"


async def test_who_refers_to_another_pipelines_own_workers_is_in_conflict_too(
    server: ApiServer,
) -> None:
    keep_pipeline(server, "cv", OWN)
    keep_pipeline(server, "thief", {"workerRef": {"name": "cv-worker"}}, made="2026-02-02")
    keep_deployment(server, "cv-worker", {})
    ready = condition(await ticked(server, "thief"), "Ready")
    assert ready["message"].startswith("ScoringPipeline/cv")


async def test_a_tick_that_fails_is_told_and_the_next_one_comes(server: ApiServer) -> None:
    keep_pipeline(server, "cv", {"workerRef": {"name": "w"}})
    server.keep(f"{DEPLOYMENTS}/w", {"metadata": {"name": "w"}, "spec": {}})  # not possible
    async with a_loop(server, "cv") as loop:
        running = asyncio.create_task(loop.run())

        async def ready_says(reason: str) -> bool:
            status = server.objects[f"{PIPELINES}/cv"].get("status")
            return status is not None and condition(status, "Ready")["reason"] == reason

        await until(partial(ready_says, "TickFailed"), within_seconds=30, what="it is told")
        ready = condition(server.objects[f"{PIPELINES}/cv"]["status"], "Ready")
        assert "KeyError('selector')" in ready["message"]
        keep_deployment(server, "w", {})
        await until(partial(ready_says, "LineUnreadable"), within_seconds=30, what="it goes on")
        del server.objects[f"{PIPELINES}/cv"]
        await running
