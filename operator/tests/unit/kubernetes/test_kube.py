"""Every call ends, and says what went wrong."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from shortlist_operator.kubernetes import kube as operators_kube
from shortlist_operator.kubernetes.kube import Kube, KubeError
from testkit.operator.api_server import ApiServer, Call, connected, hang, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

DEPLOYMENTS = "/apis/apps/v1/namespaces/prod/deployments"
PODS = "/api/v1/namespaces/prod/pods"
PIPELINES = "/apis/shortlist.dev/v1alpha1/namespaces/prod/scoringpipelines"
HPAS = "/apis/autoscaling/v2/namespaces/prod/horizontalpodautoscalers"
SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/namespaces/prod/scaledobjects"
MANIFEST = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "w"},
    "spec": {"template": {}},
}

CALLS: dict[str, Callable[[Kube], Awaitable[object]]] = {
    "pipeline": lambda kube: kube.pipeline("prod", "p"),
    "pipelines": lambda kube: kube.pipelines("prod"),
    "patch_pipeline_status": lambda kube: kube.patch_pipeline_status("prod", "p", {}),
    "deployment": lambda kube: kube.deployment("prod", "w"),
    "scale_deployment": lambda kube: kube.scale_deployment("prod", "w", 3),
    "create_deployment": lambda kube: kube.create_deployment("prod", MANIFEST, replicas=1),
    "apply_deployment": lambda kube: kube.apply_deployment("prod", MANIFEST),
    "pods": lambda kube: kube.pods("prod", {"matchLabels": {"app": "w"}}),
    "annotate_pod": lambda kube: kube.annotate_pod("prod", "w-1", {"a": "b"}),
    "create_event": lambda kube: kube.create_event("prod", {"metadata": {"name": "e"}}),
    "other_scalers": lambda kube: kube.other_scalers("prod", "w"),
    "lease": lambda kube: kube.lease("prod", "l"),
    "create_lease": lambda kube: kube.create_lease("prod", {"metadata": {"name": "l"}}),
    "replace_lease": lambda kube: kube.replace_lease("prod", {"metadata": {"name": "l"}}),
}
BESIDE = {"close"}  # no call

every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as server:
        yield server


@pytest.fixture
async def kube(server: ApiServer) -> AsyncIterator[Kube]:
    async with server.kube() as kube:
        yield kube


def always(answer: Callable[[], web.Response]) -> Callable[[Call], Awaitable[web.Response]]:
    async def step(_: Call) -> web.Response:
        return answer()

    return step


def test_no_call_is_forgotten_here() -> None:
    public = {name for name in vars(Kube) if not name.startswith("_")}
    assert public == CALLS.keys() | BESIDE


@every_call
async def test_a_call_ends_when_the_server_hangs(
    server: ApiServer,
    kube: Kube,
    call: Callable[[Kube], Awaitable[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operators_kube, "TIMEOUT_SECONDS", 0.05)
    server.arriving = hang
    with pytest.raises(KubeError, match=r"^0: TimeoutError") as raised:
        await asyncio.wait_for(call(kube), 60)
    assert raised.value.status == 0


async def test_a_call_ends_when_the_answer_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators_kube, "TIMEOUT_SECONDS", 0.2)

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, connected(f"http://{host}:{port}") as kube:
        with pytest.raises(KubeError, match="TimeoutError"):
            await asyncio.wait_for(kube.lease("prod", "l"), 60)


async def test_a_server_that_is_not_there_is_an_error_like_any_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with connected(url) as kube:
        with pytest.raises(KubeError, match=r"^0: ClientConnectorError"):
            await kube.lease("prod", "l")


@every_call
async def test_a_refusal_says_what_the_server_said(
    server: ApiServer, kube: Kube, call: Callable[[Kube], Awaitable[object]]
) -> None:
    server.arriving = always(lambda: refusal(500, "etcdserver: request timed out"))
    with pytest.raises(KubeError, match=r"^500: etcdserver: request timed out$") as raised:
        await call(kube)
    assert raised.value.status == 500


@pytest.mark.parametrize("status", [200, 502])
async def test_a_proxys_page_is_an_error_whatever_its_status(
    server: ApiServer, kube: Kube, status: int
) -> None:
    server.arriving = always(lambda: web.Response(text="<h1>Bad gateway</h1>\n", status=status))
    with pytest.raises(KubeError, match=f"^{status}: <h1>Bad gateway</h1>$"):
        await kube.lease("prod", "l")


async def test_what_is_not_there_is_none(kube: Kube) -> None:
    assert await kube.pipeline("prod", "p") is None
    assert await kube.deployment("prod", "w") is None
    assert await kube.lease("prod", "l") is None


async def test_who_may_not_look_is_told_so(server: ApiServer, kube: Kube) -> None:
    server.arriving = always(lambda: refusal(403, "forbidden"))
    with pytest.raises(KubeError, match=r"^403: forbidden$"):
        await kube.deployment("prod", "w")


async def test_a_lease_that_changed_since_it_was_read_is_not_overwritten(kube: Kube) -> None:
    made = await kube.create_lease("prod", {"metadata": {"name": "l"}, "spec": {}})
    await kube.replace_lease("prod", made)
    with pytest.raises(KubeError) as raised:
        await kube.replace_lease("prod", made)
    assert raised.value.status == 409


async def test_a_deployment_begins_with_replicas_and_is_kept_without(
    server: ApiServer, kube: Kube
) -> None:
    await kube.create_deployment("prod", MANIFEST, replicas=2)
    assert server.calls[0].body["spec"]["replicas"] == 2
    await kube.apply_deployment("prod", MANIFEST)
    applied = server.calls[-1]
    assert (applied.method, applied.body) == ("PATCH", MANIFEST)
    assert applied.content_type == "application/apply-patch+yaml"
    assert applied.query == {"fieldManager": "shortlist-operator", "force": "true"}
    assert server.objects[f"{DEPLOYMENTS}/w"]["spec"]["replicas"] == 2


async def test_scaling_and_the_status_go_to_their_own_paths(server: ApiServer, kube: Kube) -> None:
    server.keep(f"{DEPLOYMENTS}/w", {})
    server.keep(f"{PIPELINES}/p", {})
    await kube.scale_deployment("prod", "w", 7)
    await kube.patch_pipeline_status("prod", "p", {"conditions": []})
    assert [(call.path, call.body, call.content_type) for call in server.calls] == [
        (f"{DEPLOYMENTS}/w/scale", {"spec": {"replicas": 7}}, "application/merge-patch+json"),
        (f"{PIPELINES}/p/status", {"status": {"conditions": []}}, "application/merge-patch+json"),
    ]


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]},
            "a in (1,2)",
        ),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, "a notin (1)"),
        (
            {
                "matchLabels": {"b": "2"},
                "matchExpressions": [
                    {"key": "a", "operator": "Exists"},
                    {"key": "c", "operator": "DoesNotExist"},
                ],
            },
            "b=2,a,!c",
        ),
    ],
)
async def test_pods_are_asked_for_by_the_whole_selector(
    server: ApiServer, kube: Kube, selector: dict[str, Any], query: str
) -> None:
    server.keep(f"{PODS}/w-1", {})
    assert len(await kube.pods("prod", selector)) == 1
    assert server.calls[0].query == {"labelSelector": query}


async def test_a_mark_is_set_and_removed_and_a_pod_that_is_gone_needs_none(
    server: ApiServer, kube: Kube
) -> None:
    server.keep(f"{PODS}/w-1", {})
    await kube.annotate_pod("prod", "w-1", {"cost": "-1000"})
    assert server.objects[f"{PODS}/w-1"]["metadata"]["annotations"] == {"cost": "-1000"}
    await kube.annotate_pod("prod", "w-1", {"cost": None})
    assert server.objects[f"{PODS}/w-1"]["metadata"]["annotations"] == {}
    await kube.annotate_pod("prod", "gone", {"cost": "-1000"})


async def test_whoever_else_sizes_the_deployment_is_found(server: ApiServer, kube: Kube) -> None:
    def scaler(**target: str) -> dict[str, object]:
        return {"spec": {"scaleTargetRef": target}}

    for path, thing in {
        f"{HPAS}/ours": scaler(kind="Deployment", name="w"),
        f"{HPAS}/elsewhere": scaler(kind="Deployment", name="web"),
        f"{HPAS}/stateful": scaler(kind="StatefulSet", name="w"),
        f"{SCALED_OBJECTS}/keda": scaler(name="w"),
    }.items():
        server.keep(path, {"metadata": {"name": path.rpartition("/")[2]}} | thing)
    assert await kube.other_scalers("prod", "w") == [
        "HorizontalPodAutoscaler/ours",
        "ScaledObject/keda",
    ]


@pytest.mark.parametrize("status", [403, 404])
async def test_kinds_that_are_unknown_or_forbidden_size_nothing(
    server: ApiServer, kube: Kube, status: int
) -> None:
    async def unknown(call: Call) -> web.StreamResponse | None:
        if call.path == SCALED_OBJECTS:
            return web.Response(text="404 page not found\n", status=status)
        return None

    server.arriving = unknown
    server.keep(
        f"{HPAS}/ours",
        {"metadata": {"name": "ours"}, "spec": {"scaleTargetRef": {"name": "w"}}},
    )
    assert await kube.other_scalers("prod", "w") == ["HorizontalPodAutoscaler/ours"]
