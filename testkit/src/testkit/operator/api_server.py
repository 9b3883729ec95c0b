"""A local server that speaks as much of Kubernetes' API as the operator asks for, over real HTTP.

It keeps objects with resource versions: what exists is not created again, and a PUT of an old
version is refused, both with 409. A test makes it slow, refuse, hang or lie by `ApiServer.arriving`
and `ApiServer.answering`, which are asked before and after a call has its effect.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import kopf
from aiohttp import web

from shortlist_operator.kubernetes.kube import Kube

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Json = dict[str, Any]

_APPLY = "application/apply-patch+yaml"
_SUBRESOURCES = ("status", "scale")

_GROUP, _VERSION = "shortlist.dev", "v1alpha1"
_DISCOVERY: dict[str, Json] = {
    "/api": {"versions": []},
    "/apis": {
        "groups": [
            {
                "name": _GROUP,
                "versions": [{"version": _VERSION}],
                "preferredVersion": {"version": _VERSION},
            }
        ]
    },
    f"/apis/{_GROUP}/{_VERSION}": {
        "resources": [
            {
                "name": "scoringpipelines",
                "singularName": "scoringpipeline",
                "kind": "ScoringPipeline",
                "namespaced": True,
                "verbs": ["get", "list", "watch", "patch"],
            }
        ]
    },
}
"""What there is, for a client that asks before it watches."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived."""

    caller: str
    method: str
    path: str
    query: Json
    content_type: str
    body: Json


if TYPE_CHECKING:
    Step = Callable[[Call], Awaitable[web.StreamResponse | None]]


def refusal(status: int, message: str) -> web.Response:
    """What the API server says when it does not."""
    body = {"kind": "Status", "status": "Failure", "message": message, "code": status}
    return web.json_response(body, status=status)


async def _go_on(_: Call) -> None:
    return None


async def hang(_: Call) -> None:
    """Accept a call, and never answer."""
    await asyncio.Event().wait()


class ApiServer:
    """Objects by path, and every call that was made."""

    def __init__(self) -> None:
        """``async with`` starts it."""
        self.url = ""
        self.objects: dict[str, Json] = {}
        self.calls: list[Call] = []
        self.arriving: Step = _go_on
        self.answering: Step = _go_on
        self._versions = count(1)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up on every client."""
        await self._runner.cleanup()

    @asynccontextmanager
    async def kube(self, caller: str = "") -> AsyncIterator[Kube]:
        """A client of it; ``caller``: its token, by which its calls are told apart."""
        async with connected(self.url, caller) as kube:
            yield kube

    def keep(self, path: str, thing: Json) -> None:
        """Have an object."""
        version = {"resourceVersion": str(next(self._versions))}
        metadata = {"generation": 1} | thing.get("metadata", {}) | version
        self.objects[path] = thing | {"metadata": metadata}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        call = Call(
            caller=request.headers.get("Authorization", "").removeprefix("Bearer "),
            method=request.method,
            path=request.path,
            query=dict(request.query),
            content_type=request.content_type,
            body=json.loads(text) if text else {},
        )
        self.calls.append(call)
        if (refused := await self.arriving(call)) is not None:
            return refused
        if "watch" in call.query:
            return await _tell_nothing(request)
        known = _DISCOVERY.get(call.path)
        answer = self._serve(call) if known is None else web.json_response(known)
        return await self.answering(call) or answer

    def _serve(self, call: Call) -> web.Response:
        path = call.path
        parts = path.partition("/namespaces/")[2].split("/")
        if len(parts) == 2 and call.method == "GET":
            items = [thing for at, thing in self.objects.items() if at.startswith(f"{path}/")]
            return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})
        if call.method == "POST":
            name = call.body["metadata"]["name"]
            return self._create(f"{path}/{name}", call.body)
        if parts[-1] in _SUBRESOURCES:
            path = path.rpartition("/")[0]
        if path not in self.objects and call.content_type == _APPLY:
            return self._create(path, call.body)
        if path not in self.objects:
            return refusal(404, f"{parts[-1]} not found")
        if call.method == "PUT":
            return self._replace(path, call.body)
        if call.method == "PATCH":
            self.keep(path, _merged(self.objects[path], call.body))
        return web.json_response(self.objects[path])

    def _create(self, path: str, thing: Json) -> web.Response:
        if path in self.objects:
            return refusal(409, "already exists")
        self.keep(path, thing)
        return web.json_response(self.objects[path], status=201)

    def _replace(self, path: str, thing: Json) -> web.Response:
        version = self.objects[path]["metadata"]["resourceVersion"]
        if thing["metadata"].get("resourceVersion", version) != version:
            return refusal(409, "the object has been modified")
        self.keep(path, thing)
        return web.json_response(self.objects[path])


async def _tell_nothing(request: web.Request) -> web.StreamResponse:
    """A watch that stalls; the operator lists now and then."""
    stream = web.StreamResponse()
    await stream.prepare(request)
    await asyncio.Event().wait()
    return stream


@asynccontextmanager
async def connected(url: str, caller: str = "") -> AsyncIterator[Kube]:
    """The operator's own client, for the length of a block."""
    kube = Kube(lambda: kopf.ConnectionInfo(server=url, token=caller))
    try:
        yield kube
    finally:
        await kube.close()


def _merged(thing: Json, patch: Json) -> Json:
    """A JSON merge patch (RFC 7396)."""
    result = dict(thing)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = _merged(result.get(name) or {}, value)
        else:
            result[name] = value
    return result
