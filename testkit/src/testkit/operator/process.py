"""What the operator as a process needs beside servers: an API server that kopf can watch."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from testkit.operator.api_server import ApiServer
from testkit.operator.kubeconfig import kubeconfig
from testkit.processes.stack import Stack
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testkit.operator.api_server import Call
    from testkit.processes.stack import Service

Json = dict[str, Any]

NAMESPACE = "prod"
PIPELINES = f"/apis/shortlist.dev/v1alpha1/namespaces/{NAMESPACE}/scoringpipelines"

_RESOURCES: Json = {
    "/version": {"major": "1", "minor": "30"},
    "/api": {"versions": []},
    "/apis": {
        "groups": [
            {
                "name": "shortlist.dev",
                "versions": [{"version": "v1alpha1"}],
                "preferredVersion": {"version": "v1alpha1"},
            }
        ]
    },
    "/apis/shortlist.dev/v1alpha1": {
        "resources": [
            {
                "name": "scoringpipelines", "singularName": "scoringpipeline",
                "kind": "ScoringPipeline", "namespaced": True,
                "verbs": ["get", "list", "watch", "patch"],
            }
        ]
    },
}  # fmt: skip


async def as_kopf_asks(call: Call) -> web.StreamResponse | None:
    """Say which resources there are; a watch tells nothing (the operator lists each 5 s, too)."""
    if call.path in _RESOURCES:
        return web.json_response(_RESOURCES[call.path])
    if call.query.get("watch"):
        await asyncio.Event().wait()
    return None


def keep_pipeline(server: ApiServer, name: str, spec: Json) -> None:
    """Have a ScoringPipeline."""
    server.keep(
        f"{PIPELINES}/{name}",
        {
            "apiVersion": "shortlist.dev/v1alpha1",
            "kind": "ScoringPipeline",
            "metadata": {
                "name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": spec,
        },
    )  # fmt: skip


def condition(server: ApiServer, name: str, kind: str) -> Json:
    """A condition of a ScoringPipeline; empty before the operator has said anything."""
    status = server.objects[f"{PIPELINES}/{name}"].get("status", {})
    return next((c for c in status.get("conditions", []) if c["type"] == kind), {})


def variables(server: ApiServer, directory: Path) -> dict[str, str]:
    """How the process finds the API server, and which namespace is its own."""
    return kubeconfig(server.url, directory) | {"SHORTLIST_OPERATOR_NAMESPACE": NAMESPACE}


@asynccontextmanager
async def an_operator(
    directory: Path, database_url: str, redis_url: str
) -> AsyncIterator[tuple[ApiServer, Service]]:
    """The operator as a process, that sizes one pipeline and can read all that it wants to."""
    async with ApiServer() as server, Stack(directory, database_url, redis_url) as stack:
        server.arriving = as_kopf_asks
        keep_pipeline(server, "late", {"worker": {"template": {"image": "shortlist"}}})
        operator = await stack.start("operator", variables=variables(server, directory))
        await operator_says(server, "True", within_seconds=60)
        yield server, operator


async def operator_says(server: ApiServer, metrics_available: str, within_seconds: float) -> None:
    """Wait until the operator says whether it can read all that it wants to."""

    async def look() -> bool:
        return condition(server, "late", "MetricsAvailable").get("status") == metrics_available

    await until(look, within_seconds=within_seconds, what=f"the operator: {metrics_available}")
