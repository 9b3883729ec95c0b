"""A release on a real cluster, as tests see it: its API, its Service, its Postgres and its Redis.

Only KUBECONFIG is needed: everything goes through the API server. Applications are posted through
the Service; Postgres and Redis are reached as `kubectl port-forward` reaches them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.stream import WsApiClient

from shortlist.storage import postgres, redis
from testkit.kubernetes import unguarded_pods
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import asyncpg

Json = dict[str, Any]

PATIENCE_SECONDS = 120.0
"""For what is promised, but not in time: the cluster's node has other things to do as well."""

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_REQUEST_SECONDS = 30.0


class Refused(Exception):  # noqa: N818 (it is an answer)
    """The API server, or who it passed a request on to, said no."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Release:
    """Where the chart is installed."""

    namespace: str
    name: str = "shortlist"
    servers_namespace: str = ""
    """Where its servers run, when that is not here."""


class Cluster:
    """One release; an async context manager."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.namespace = release.namespace
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        configuration = client.Configuration()
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        configuration.disable_strict_ssl_verification = True  # as kubectl does
        self._api = await self._stack.enter_async_context(client.ApiClient(configuration))
        sockets = WsApiClient(configuration)  # type: ignore[no-untyped-call]
        self._sockets = await self._stack.enter_async_context(sockets)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # --- Kubernetes

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "*/*",
    ) -> Json:
        """One request of the API server; raises `Refused`."""
        text = await self._call(method, path, body, content_type, accept)
        return cast("Json", json.loads(text)) if text else {}

    async def read(self, path: str) -> str:
        """What is answered at a path, as text."""
        return (await self._call("GET", path, None, "text/plain", "*/*")).decode()

    async def _call(
        self, method: str, path: str, body: Any, content_type: str, accept: str
    ) -> bytes:
        request = await self._serialized(method, path, body, content_type, accept)
        async with asyncio.timeout(_REQUEST_SECONDS):
            try:
                response = await self._api.call_api(*request)
                text = await response.read()
            except aiohttp.ClientError as error:
                raise Refused(0, repr(error)) from error
        if response.status >= 400:
            raise Refused(response.status, text.decode(errors="replace"))
        return cast("bytes", text)

    async def _serialized(
        self, method: str, path: str, body: Any, content_type: str, accept: str
    ) -> Any:
        return await self._api.param_serialize(
            method=method,
            resource_path=path,
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )

    async def get(self, path: str) -> Json:
        """An object, or a list of them."""
        return await self.call("GET", path)

    async def find(self, path: str) -> Json | None:
        """The same; None when there is no such thing."""
        try:
            return await self.get(path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def patch(self, path: str, body: Json) -> Json:
        """Change what is named, and keep the rest."""
        return await self.call("PATCH", path, body, MERGE)

    async def delete(self, path: str, *, grace_seconds: int | None = None) -> None:
        """Delete; what is not there is as good."""
        options = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        with contextlib.suppress(Refused):
            await self.call("DELETE", path, options)

    async def apply(self, manifest: Json) -> Json:
        """Server-side apply, in the release's namespace."""
        metadata = manifest["metadata"]
        path = f"{self.path_of(manifest)}/{metadata['name']}?fieldManager=test&force=true"
        return await self.call("PATCH", path, manifest, APPLY)

    def path_of(self, manifest: Json) -> str:
        """Where objects like this one live."""
        version, kind = manifest["apiVersion"], manifest["kind"].lower()
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
        return f"{prefix}/namespaces/{self.namespace}/{plural}"

    def deployments(self, name: str = "") -> str:
        """The path of Deployments, or of one."""
        return self._path("/apis/apps/v1", "deployments", name)

    def stateful_sets(self, name: str) -> str:
        """The path of a StatefulSet."""
        return self._path("/apis/apps/v1", "statefulsets", name)

    def role(self, name: str) -> str:
        """The path of a Role."""
        return self._path("/apis/rbac.authorization.k8s.io/v1", "roles", name)

    def pod(self, name: str = "") -> str:
        """The path of pods, or of one."""
        return self._path("/api/v1", "pods", name)

    def pipelines(self, name: str = "") -> str:
        """The path of ScoringPipelines, or of one."""
        return self._path("/apis/shortlist.dev/v1alpha1", "scoringpipelines", name)

    def _path(self, group: str, plural: str, name: str) -> str:
        path = f"{group}/namespaces/{self.namespace}/{plural}"
        return f"{path}/{name}" if name else path

    def part(self, component: str) -> str:
        """The name of the chart's Deployment or StatefulSet of a component."""
        return f"{self.release.name}-{component}"

    async def pods(self, selector: Mapping[str, str]) -> list[Json]:
        """Pods by labels, those that are going too."""
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        listed = await self.get(f"{self.pod()}?labelSelector={labels}")
        return cast("list[Json]", listed["items"])

    async def pods_of(self, component: str) -> list[Json]:
        """The pods of one of the chart's components."""
        return await self.pods(
            {
                "app.kubernetes.io/instance": self.release.name,
                "app.kubernetes.io/component": component,
            }
        )

    async def kill(self, component: str) -> None:
        """End a component's pods at once, as kill -9 does; Kubernetes makes new ones."""
        for pod in await self.pods_of(component):
            await self.delete(self.pod(pod["metadata"]["name"]), grace_seconds=0)

    async def scale(self, path: str, replicas: int) -> None:
        """Set a Deployment's or StatefulSet's replicas."""
        await self.patch(f"{path}/scale", {"spec": {"replicas": replicas}})

    async def until_none(self, component: str) -> None:
        """Wait until no pod of a component is left."""

        async def gone() -> bool:
            return not await self.pods_of(component)

        await self.until(gone, what=f"no {component} is left")

    async def until_ready(self, component: str, count: int = 1) -> None:
        """Wait until so many pods of a component are ready."""

        async def ready() -> bool:
            pods = [pod for pod in await self.pods_of(component) if is_ready(pod)]
            return len(pods) >= count

        await self.until(ready, what=f"{count} {component} ready")

    async def until(
        self,
        look: Callable[[], Awaitable[Any]],
        *,
        what: str,
        within_seconds: float = PATIENCE_SECONDS,
    ) -> Any:
        """The first true value that ``look`` gives; asks four times a second."""
        return await until(look, what=what, within_seconds=within_seconds, poll_seconds=0.25)

    @asynccontextmanager
    async def without(self, path: str, component: str) -> AsyncIterator[None]:
        """A part of the release is away for the length of a block."""
        await self.scale(path, 0)
        await self.until_none(component)
        try:
            yield
        finally:
            await self.scale(path, 1)
            await self.until_ready(component)

    @asynccontextmanager
    async def operator_without(self, guard: str) -> AsyncIterator[None]:
        """For the length of a block the operator runs with one of its guards off."""
        await self._restart_operator(guard)
        try:
            yield
        finally:
            await self._restart_operator("")

    async def _restart_operator(self, guards: str) -> None:
        before = names(await self.pods_of("operator"))
        path = self.deployments(self.part("operator"))
        await self.apply(unguarded_pods.PATCHES)
        template = (await self.get(path))["spec"]["template"]
        changed = unguarded_pods.without_guards(template, guards)
        await self.patch(path, {"spec": {"template": changed}})

        async def anew() -> bool:
            return not before & names(await self.pods_of("operator"))

        await self.until(anew, what="the operator is another one")
        await self.until_ready("operator")

    # --- the servers

    async def query(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask Postgres, on a connection of its own."""
        async with self.database() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return rows

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection to Postgres."""
        async with self.reached("postgres") as url:
            connection = await postgres.connect(url, application_name="test", timeout_seconds=20)
            try:
                yield connection
            finally:
                await connection.close()

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[redis.Redis]:
        """A client of Redis."""
        async with self.reached("redis") as url:
            connected = redis.connect(url, timeout_seconds=20)
            try:
                yield connected
            finally:
                await connected.aclose()

    @asynccontextmanager
    async def reached(self, server: Literal["postgres", "redis"]) -> AsyncIterator[str]:
        """Its URL, from here."""
        secret = await self.servers()
        names, port = {
            "postgres": (("ADMIN_DATABASE_URL", "OWNER_DATABASE_URL", "DATABASE_URL"), 5432),
            "redis": (("REDIS_URL",), 6379),
        }[server]
        named = next(name for name in names if name in secret)
        async with self._forwarded(self._server(server), port) as local:
            yield _local(secret[named], local)

    async def servers(self) -> dict[str, str]:
        """Where the servers are, as the chart made it up."""
        found = await self.get(self._path("/api/v1", "secrets", self.part("servers")))
        return {name: base64.b64decode(text).decode() for name, text in found["data"].items()}

    @asynccontextmanager
    async def forwarded(self, component: str, port: int) -> AsyncIterator[int]:
        """A local port whose connections end in a component's first pod."""
        pod = (await self.pods_of(component))[0]["metadata"]["name"]
        async with self._forwarded(self.pod(pod), port) as local:
            yield local

    def _server(self, component: str) -> str:
        """The path of a server's pod."""
        where = self.release.servers_namespace or self.namespace
        return f"/api/v1/namespaces/{where}/pods/{self.part(component)}-0"

    @asynccontextmanager
    async def _forwarded(self, pod: str, port: int) -> AsyncIterator[int]:
        server = await asyncio.start_server(partial(self._forward, pod, port), "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _forward(
        self, pod: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        request = await self._serialized(
            "GET", f"{pod}/portforward?ports={port}", None, "application/json", "*/*"
        )
        opened = await self._sockets.call_api(*request, _preload_content=False)
        async with opened.response as socket:
            up = asyncio.create_task(_pump_up(reader, socket))
            try:
                await _pump_down(socket, writer)
            finally:
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)
                writer.close()


async def _pump_up(reader: asyncio.StreamReader, socket: aiohttp.ClientWebSocketResponse) -> None:
    while data := await reader.read(65_536):
        await socket.send_bytes(_DATA + data)
    await socket.close()


async def _pump_down(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    """Channel 0 is data, 1 is errors; the first frame of each tells the port."""
    told: set[bytes] = set()
    async for message in socket:
        channel, data = message.data[:1], message.data[1:]
        if channel not in told:
            told.add(channel)
        elif channel == _DATA:
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                await writer.drain()


_DATA = b"\x00"


def is_ready(pod: Json) -> bool:
    """Ready, and not on its way out."""
    conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def names(pods: list[Json]) -> set[str]:
    """Their names."""
    return {pod["metadata"]["name"] for pod in pods}


def _local(url: str, port: int) -> str:
    """The same URL, at a local port."""
    head, _, tail = url.partition("@")
    _, slash, rest = tail.partition("/")
    return f"{head}@127.0.0.1:{port}{slash}{rest}"
