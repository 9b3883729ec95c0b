"""The chart's Ingress and HTTPRoute carry real traffic, through Traefik.

By name only: `uv run pytest -m ingress -n 0`. SHORTLIST_TRAEFIK_IMAGE names an image whose
entrypoint is `traefik`. Where none can be pulled, Traefik 3 builds from its Go module:
`go build ./cmd/traefik` in a writable copy of github.com/traefik/traefik/v3.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from testkit.kubernetes.chart import objects, of_kind
from testkit.kubernetes.namespaces import foreign_definitions, path_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.kubernetes.cluster import Cluster

Json = dict[str, Any]

pytestmark = [pytest.mark.ingress, pytest.mark.timeout(600)]

HOST = "jobs.example.com"
PORT = 8080
CLASS = "shortlist-tried"


def rendered(kind: str, cluster: Cluster) -> Json:
    """The chart's own Ingress or HTTPRoute, for the release that is installed."""
    values = {
        "ingress": {"enabled": True, "className": CLASS, "host": HOST},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": CLASS}], "hostnames": [HOST]},
    }
    (found,) = of_kind(kind, objects(values, name=cluster.release.name)).values()
    return found


def controller(cluster: Cluster) -> list[Json]:
    """Traefik, what it may read, and the classes that it answers for."""
    labels = {
        "app.kubernetes.io/instance": cluster.release.name,
        "app.kubernetes.io/component": "traefik",
    }
    watch = ["get", "list", "watch"]
    rules: list[Json] = [
        {"apiGroups": [""], "verbs": watch,
         "resources": ["services", "secrets", "nodes", "namespaces", "configmaps"]},
        {"apiGroups": ["discovery.k8s.io"], "verbs": watch, "resources": ["endpointslices"]},
        {"apiGroups": ["networking.k8s.io"], "verbs": [*watch, "update"],
         "resources": ["ingresses", "ingresses/status", "ingressclasses"]},
        {"apiGroups": ["gateway.networking.k8s.io"], "verbs": ["*"], "resources": ["*"]},
    ]  # fmt: skip
    container = {
        "name": "traefik",
        "image": os.environ["SHORTLIST_TRAEFIK_IMAGE"],
        "imagePullPolicy": "IfNotPresent",
        "args": [
            f"--entrypoints.web.address=:{PORT}",
            f"--providers.kubernetesingress.ingressclass={CLASS}",
            f"--providers.kubernetesingress.namespaces={cluster.namespace}",
            f"--providers.kubernetesgateway.namespaces={cluster.namespace}",
            "--ping=true",
            "--ping.entrypoint=web",
            "--log.level=INFO",
        ],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        },
    }  # fmt: skip
    pod = {
        "serviceAccountName": "traefik",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }  # fmt: skip
    subject = {"kind": "ServiceAccount", "name": "traefik", "namespace": cluster.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": CLASS}
    listener = {"name": "web", "port": PORT, "protocol": "HTTP"}
    made: list[tuple[str, str, str, Json]] = [
        ("v1", "ServiceAccount", "traefik", {}),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", CLASS, {"rules": rules}),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", CLASS,
         {"roleRef": role, "subjects": [subject]}),
        ("networking.k8s.io/v1", "IngressClass", CLASS,
         {"spec": {"controller": "traefik.io/ingress-controller"}}),
        ("gateway.networking.k8s.io/v1", "GatewayClass", CLASS,
         {"spec": {"controllerName": "traefik.io/gateway-controller"}}),
        ("gateway.networking.k8s.io/v1", "Gateway", CLASS,
         {"spec": {"gatewayClassName": CLASS, "listeners": [listener]}}),
        ("apps/v1", "Deployment", "traefik",
         {"spec": {"selector": {"matchLabels": labels},
                   "template": {"metadata": {"labels": labels}, "spec": pod}}}),
    ]  # fmt: skip
    return [
        {"apiVersion": version, "kind": kind, "metadata": {"name": name}} | rest
        for version, kind, name, rest in made
    ]


@pytest.fixture
async def traefik(cluster: Cluster) -> AsyncIterator[int]:
    """A local port that ends in a Traefik which looks at the release's namespace."""
    async with foreign_definitions(cluster):
        made = controller(cluster)
        try:
            for manifest in made:
                await apply(cluster, manifest)
            await cluster.until_ready("traefik")
            async with cluster.forwarded("traefik", PORT) as port:
                yield port
        finally:
            for manifest in reversed(made):
                await cluster.delete(await path_of(cluster, manifest))


async def apply(cluster: Cluster, manifest: Json) -> None:
    path = f"{await path_of(cluster, manifest)}?fieldManager=test&force=true"
    await cluster.call("PATCH", path, manifest, "application/apply-patch+yaml")


@pytest.mark.parametrize("kind", ["Ingress", "HTTPRoute"])
async def test_applications_come_in_through_it(kind: str, cluster: Cluster, traefik: int) -> None:
    route = rendered(kind, cluster)
    url = f"http://127.0.0.1:{traefik}/applications"
    body = {"candidate": "Ada", "payload": "ten years of engines"}
    async with aiohttp.ClientSession() as http:

        async def post(host: str) -> tuple[int, Json]:
            async with http.post(url, json=body, headers={"Host": host}) as answer:
                is_ours = answer.content_type == "application/json"
                return answer.status, await answer.json() if is_ours else {}

        assert (await post(HOST))[0] == 404  # Traefik does not know of it yet
        await apply(cluster, route)
        try:

            async def accepted() -> Json | None:
                status, reply = await post(HOST)
                return reply if status == 202 else None

            reply = await cluster.until(accepted, what=f"202 through the {kind}")
            assert (await post("elsewhere.example.com"))[0] == 404

            async def scored() -> bool:
                async with http.get(f"{url}/{reply['id']}", headers={"Host": HOST}) as answer:
                    return bool((await answer.json())["status"] == "scored")

            await cluster.until(scored, what="what came in is scored")
        finally:
            await cluster.delete(await path_of(cluster, route))
