"""A namespace of one's own on a real cluster, with the resource's definition, and other projects'.

Only what was made here is removed: a definition that was there before stays.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import yaml

from testkit.kubernetes.chart import crd
from testkit.kubernetes.cluster import APPLY, Cluster, Refused, Release

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Json = dict[str, Any]

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

FOREIGN = {
    "sigs.k8s.io/gateway-api@v1.6.1": "config/crd/standard/gateway.networking.k8s.io_*.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_p*.yaml"
    ),
}
"""Definitions of other projects that the chart has objects of: Go modules, and files in them."""


async def define(cluster: Cluster, definition: Json) -> None:
    """Make a kind known, or bring it up to date; returns when the API server serves it."""
    name = definition["metadata"]["name"]
    path = f"{_DEFINITIONS}/{name}"
    await cluster.call("PATCH", f"{path}?fieldManager=test&force=true", definition, APPLY)

    async def served() -> bool:
        found = await cluster.get(path)
        listed = found.get("status", {}).get("conditions") or []
        conditions = {c["type"]: c["status"] for c in listed}
        return conditions.get("Established") == "True"

    await cluster.until(served, what=f"{name} is served")


async def path_of(cluster: Cluster, thing: Json) -> str:
    """Where an object lives, in the release's namespace if in any, by the API server's own list."""
    version = thing["apiVersion"]
    group = f"/apis/{version}" if "/" in version else f"/api/{version}"
    (found,) = [
        resource
        for resource in (await cluster.get(group))["resources"]
        if resource["kind"] == thing["kind"] and "/" not in resource["name"]
    ]
    namespace = f"/namespaces/{cluster.namespace}" if found["namespaced"] else ""
    return f"{group}{namespace}/{found['name']}/{thing['metadata']['name']}"


async def make_namespace(cluster: Cluster) -> None:
    """The release's namespace, which enforces the restricted standard; it may be there already."""
    metadata = {"name": cluster.namespace, "labels": RESTRICTED}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    try:
        await cluster.call("POST", "/api/v1/namespaces", namespace)
    except Refused as error:
        if error.status != 409:
            raise


async def remove_namespace(cluster: Cluster) -> None:
    """Delete the release's namespace; returns when all that was in it is gone."""
    path = f"/api/v1/namespaces/{cluster.namespace}"
    await cluster.delete(path)

    async def gone() -> bool:
        return await cluster.find(path) is None

    await cluster.until(gone, what=f"namespace {cluster.namespace} is gone")


@asynccontextmanager
async def own_namespace(prefix: str) -> AsyncIterator[Cluster]:
    """A new namespace, in which a ScoringPipeline is known; gone at the end of the block."""
    async with Cluster(Release(f"{prefix}-{uuid4().hex[:6]}")) as cluster:
        await define(cluster, crd())
        await make_namespace(cluster)
        try:
            yield cluster
        finally:
            await remove_namespace(cluster)


@asynccontextmanager
async def foreign_definitions(cluster: Cluster) -> AsyncIterator[None]:
    """Other projects' kinds, as they publish them; those that were not there before go again."""
    made = []
    try:
        for definition in await asyncio.to_thread(lambda: list(_foreign())):
            path = f"{_DEFINITIONS}/{definition['metadata']['name']}"
            if await cluster.find(path) is None:
                made.append(path)
                await define(cluster, definition)
        yield
    finally:
        for path in made:
            await cluster.delete(path)


def _foreign() -> Iterator[Json]:
    if shutil.which("go") is None:
        reason = "Go is not installed: it fetches other projects' definitions"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    for module, pattern in FOREIGN.items():
        done = subprocess.run(
            ["go", "mod", "download", "-json", module], capture_output=True, check=True, cwd="/"
        )
        for file in sorted(Path(json.loads(done.stdout)["Dir"]).glob(pattern)):
            for made in yaml.load_all(file.read_text(encoding="utf-8"), yaml.CSafeLoader):
                if made["kind"] == "CustomResourceDefinition":
                    yield made
