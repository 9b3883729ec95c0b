"""The only module that talks to Kubernetes' API, in plain JSON objects.

Every call ends within `TIMEOUT_SECONDS`: the loop above it must never be blind for longer.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import aiohttp

from shortlist.domain.errors import ShortlistError
from shortlist_operator.kubernetes.login import NoClusterError, login

if TYPE_CHECKING:
    from collections.abc import Callable

    import kopf

TIMEOUT_SECONDS = 5.0
LOGIN_SECONDS = 60.0
"""So often the credentials are read again: the kubelet renews a pod's token before it expires."""

FIELD_MANAGER = "shortlist-operator"

_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"

_REFUSALS = frozenset({400, 403, 409, 422})

Json = dict[str, Any]


class KubeError(ShortlistError):
    """The API server refused, or did not answer (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status: 404 and 409 mean something to callers."""
        super().__init__(f"{status}: {message}")
        self.status = status

    @property
    def is_refusal(self) -> bool:
        """Whether the same call will be refused again; what else goes wrong may pass."""
        return self.status in _REFUSALS


class Kube:
    """The API server, as the pod's service account or as the user's kubeconfig."""

    def __init__(self, login: Callable[[], kopf.ConnectionInfo] = login) -> None:
        """Connect with the first call; ``login`` is asked again every `LOGIN_SECONDS`.

        Raises:
            NoClusterError: nothing names a cluster.
        """
        self._login = login
        self._read_at = time.monotonic()
        self._access = self._login()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._access.as_ssl_context()),
            proxy=self._access.proxy_url,
        )

    async def close(self) -> None:
        """Give its connections back."""
        await self._session.close()

    async def pipeline(self, namespace: str, name: str) -> Json | None:
        """Get a ScoringPipeline; None when there is none."""
        return await self._get_or_none(_pipelines(namespace, name))

    async def pipelines(self, namespace: str) -> list[Json]:
        """List every ScoringPipeline of a namespace."""
        return cast("list[Json]", (await self._call("GET", _pipelines(namespace)))["items"])

    async def patch_pipeline_status(self, namespace: str, name: str, status: Json) -> None:
        """Write the status; lists in it are replaced whole."""
        await self._call(
            "PATCH", f"{_pipelines(namespace, name)}/status", {"status": status}, _MERGE
        )

    async def deployment(self, namespace: str, name: str) -> Json | None:
        """Get a Deployment; None when there is none."""
        return await self._get_or_none(_deployments(namespace, name))

    async def scale_deployment(self, namespace: str, name: str, replicas: int) -> None:
        """Set how many replicas it should have."""
        body = {"spec": {"replicas": replicas}}
        await self._call("PATCH", f"{_deployments(namespace, name)}/scale", body, _MERGE)

    async def create_deployment(self, namespace: str, manifest: Json, *, replicas: int) -> None:
        """Make a Deployment that begins with so many replicas; nothing says how many later.

        By apply as well: what a POST sets, no apply takes out again. The replicas get a second
        owner, so that they stay when they are not in the next manifest.
        """
        begun = manifest | {"spec": manifest["spec"] | {"replicas": replicas}}
        await self.apply_deployment(namespace, begun)
        only_replicas = {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "metadata": {"name": manifest["metadata"]["name"]},
            "spec": {"replicas": replicas},
        }
        await self.apply_deployment(namespace, only_replicas, manager=f"{FIELD_MANAGER}-replicas")

    async def apply_deployment(
        self, namespace: str, manifest: Json, *, manager: str = FIELD_MANAGER
    ) -> None:
        """Keep a Deployment as the manifest says, by server-side apply."""
        path = _deployments(namespace, manifest["metadata"]["name"])
        query = {"fieldManager": manager, "force": "true"}
        await self._call("PATCH", path, manifest, _APPLY, query)

    async def pods(self, namespace: str, selector: Json) -> list[Json]:
        """List the pods that a LabelSelector means."""
        query = {"labelSelector": _label_selector(selector)}
        reply = await self._call("GET", f"/api/v1/namespaces/{namespace}/pods", query=query)
        return cast("list[Json]", reply["items"])

    async def annotate_pod(
        self, namespace: str, name: str, annotations: dict[str, str | None]
    ) -> None:
        """Set annotations of a pod; None removes one. A pod that is gone is no error."""
        try:
            await self._call(
                "PATCH",
                f"/api/v1/namespaces/{namespace}/pods/{quote(name)}",
                {"metadata": {"annotations": annotations}},
                _MERGE,
            )
        except KubeError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    async def create_event(self, namespace: str, event: Json) -> None:
        """Say something about an object."""
        await self._call("POST", f"/api/v1/namespaces/{namespace}/events", event)

    async def other_scalers(self, namespace: str, deployment: str) -> list[str]:
        """HorizontalPodAutoscalers and ScaledObjects that size this Deployment."""
        found = [
            f"HorizontalPodAutoscaler/{item['metadata']['name']}"
            for item in await self._items(
                f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
            )
            if _targets(item, deployment)
        ]
        found += [
            f"ScaledObject/{item['metadata']['name']}"
            for item in await self._items(
                f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects"
            )
            if _targets(item, deployment)
        ]
        return found

    async def lease(self, namespace: str, name: str) -> Json | None:
        """Get a Lease; None when there is none."""
        return await self._get_or_none(_leases(namespace, name))

    async def create_lease(self, namespace: str, lease: Json) -> Json:
        """Make a Lease; `KubeError` 409 when another client was faster."""
        return await self._call("POST", _leases(namespace), lease)

    async def replace_lease(self, namespace: str, lease: Json) -> Json:
        """Write a Lease; `KubeError` 409 when it changed since it was read."""
        return await self._call("PUT", _leases(namespace, lease["metadata"]["name"]), lease)

    async def _items(self, path: str) -> list[Json]:
        """List; empty when the cluster does not know the kind or does not let us read it."""
        try:
            return cast("list[Json]", (await self._call("GET", path))["items"])
        except KubeError as error:
            if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
                return []
            raise

    async def _get_or_none(self, path: str) -> Json | None:
        try:
            return await self._call("GET", path)
        except KubeError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Json:
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._session.request(
                    method,
                    self._access.server.rstrip("/") + path,
                    params=query,
                    json=body,
                    headers={"Content-Type": content_type, **self._authorization()},
                ) as response,
            ):
                text = await response.read()
        except (OSError, aiohttp.ClientError, NoClusterError) as error:  # time-outs are OSErrors
            raise KubeError(0, repr(error)) from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise KubeError(response.status, _message(text))
        try:
            return cast("Json", json.loads(text))
        except ValueError as error:  # a proxy's page
            raise KubeError(response.status, _message(text)) from error

    def _authorization(self) -> dict[str, str]:
        if time.monotonic() - self._read_at >= LOGIN_SECONDS:
            self._access, self._read_at = self._login(), time.monotonic()
        return self._access.as_http_headers()


def now_text() -> str:
    """Tell the time as Kubernetes writes it, to the second; it is for people."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _message(text: bytes) -> str:
    """Read the message of a Status object; where the server does not know a path, a plain text."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace").strip()


def _targets(scaler: Json, deployment: str) -> bool:
    reference = scaler.get("spec", {}).get("scaleTargetRef", {})
    kind = reference.get("kind", "Deployment")
    return bool(kind == "Deployment" and reference.get("name") == deployment)


def _label_selector(selector: Json) -> str:
    """Format a LabelSelector as a query has it; the API server has checked it."""
    terms = [f"{key}={value}" for key, value in sorted(selector.get("matchLabels", {}).items())]
    for expression in selector.get("matchExpressions", []):
        key, values = expression["key"], ",".join(expression.get("values", []))
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[expression["operator"]]
        )
    return ",".join(terms)


def _pipelines(namespace: str, name: str = "") -> str:
    path = f"/apis/shortlist.dev/v1alpha1/namespaces/{namespace}/scoringpipelines"
    return f"{path}/{quote(name)}" if name else path


def _deployments(namespace: str, name: str = "") -> str:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    return f"{path}/{quote(name)}" if name else path


def _leases(namespace: str, name: str = "") -> str:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    return f"{path}/{quote(name)}" if name else path
