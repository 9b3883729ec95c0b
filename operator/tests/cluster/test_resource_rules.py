"""What the API server makes of the resource, and of everything that the chart renders."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from shortlist.domain.sizing.pipeline import API_VERSION, KIND
from testkit.kubernetes.bounds import Bound, bounds, placed, rules
from testkit.kubernetes.chart import crd, crd_spec, defaulted, merged, objects, pod_templates
from testkit.kubernetes.cluster import APPLY, Cluster, Refused, Release
from testkit.kubernetes.namespaces import foreign_definitions, own_namespace, path_of
from testkit.kubernetes.scenarios import SCENARIOS
from testkit.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Json = dict[str, Any]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

DRY = "dryRun=All&fieldValidation=Strict"
"""What `kubectl apply --dry-run=server` asks for."""

SAMPLES = {path.stem: path for path in sorted((ROOT / "k8s" / "samples").glob("*.yaml"))}
ROOT_SCHEMA: Json = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
STATUS_SCHEMA: Json = ROOT_SCHEMA["properties"]["status"]

REFERENCE: Json = {"workerRef": {"name": "shortlist-worker"}}
TEMPLATE: Json = {"worker": {"template": {"image": "shortlist"}}}
RUBRIC: Json = REFERENCE | {"scorer": {"kind": "claude", "rubricRef": {"name": "r"}}}
SECRET: Json = REFERENCE | {"scorer": {"kind": "claude", "secretRef": {"name": "s"}}}
CLAUDE: Json = REFERENCE | {"scorer": {"kind": "claude"}}


@dataclass(frozen=True)
class Case:
    """What a rule refuses: a new resource, or a change of one that is there."""

    spec: Json
    before: Json | None = None
    name: str = "breaks"


ONE_OF = "has(self.workerRef) != (has(self.worker) && has(self.worker.template))"
CLAUDES_ONLY = (
    "self.kind == 'claude' || (!has(self.model) && !has(self.rubricRef) && !has(self.secretRef)"
    " && !has(self.requestsPerMinute) && !has(self.tokensPerMinute))"
)
SIMULATEDS_ONLY = "self.kind == 'simulated' || (!has(self.serviceSeconds) && !has(self.serviceCv))"
SAME_REFERENCES = (
    "self.kind != oldSelf.kind || (has(self.rubricRef) == has(oldSelf.rubricRef)"
    " && has(self.secretRef) == has(oldSelf.secretRef))"
)
REFUSED: dict[tuple[str, str], list[Case]] = {
    ("", "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')"): [
        Case(REFERENCE, name="a.b"), Case(REFERENCE, name="a" * 64),
    ],
    ("spec", ONE_OF): [Case({}), Case(REFERENCE | TEMPLATE)],
    ("spec", "has(self.workerRef) == has(oldSelf.workerRef)"): [
        Case(TEMPLATE, before=REFERENCE), Case(REFERENCE, before=TEMPLATE),
    ],
    ("spec.workerRef", "self == oldSelf"): [
        Case({"workerRef": {"name": "other"}}, before=REFERENCE),
    ],
    ("spec.worker.concurrency", "self >= 1"): [Case(REFERENCE | {"worker": {"concurrency": 0}})],
    ("spec.worker.drainTimeoutSeconds", "self >= 5"): [
        Case(REFERENCE | {"worker": {"drainTimeoutSeconds": 4}}),
    ],
    ("spec.scorer", CLAUDES_ONLY): [
        Case(REFERENCE | {"scorer": {name: value}})
        for name, value in {
            "model": "m", "rubricRef": {"name": "r"}, "secretRef": {"name": "s"},
            "requestsPerMinute": 1, "tokensPerMinute": 1,
        }.items()
    ],
    ("spec.scorer", SIMULATEDS_ONLY): [
        Case(merged(CLAUDE, {"scorer": {name: 1}})) for name in ("serviceSeconds", "serviceCv")
    ],
    ("spec.scorer", SAME_REFERENCES): [
        Case(CLAUDE, before=RUBRIC), Case(CLAUDE, before=SECRET),
        Case(RUBRIC, before=CLAUDE), Case(SECRET, before=CLAUDE),
    ],
    ("spec.scorer.rubricRef", "self == oldSelf"): [
        Case(merged(RUBRIC, {"scorer": {"rubricRef": {"name": "other"}}}), before=RUBRIC),
        Case(merged(RUBRIC, {"scorer": {"rubricRef": {"key": "other"}}}), before=RUBRIC),
    ],
    ("spec.scorer.secretRef", "self == oldSelf"): [
        Case(merged(SECRET, {"scorer": {"secretRef": {"name": "other"}}}), before=SECRET),
        Case(merged(SECRET, {"scorer": {"secretRef": {"key": "other"}}}), before=SECRET),
    ],
    ("spec.scaling", "self.minReplicas <= self.maxReplicas"): [
        Case(REFERENCE | {"scaling": {"minReplicas": 2, "maxReplicas": 1}}),
        Case(REFERENCE | {"scaling": {"minReplicas": 31}}),
    ],
    ("spec.connections.overheadPerWorker", "self >= 1"): [
        Case(REFERENCE | {"connections": {"overheadPerWorker": 0}}),
    ],
}  # fmt: skip
"""Each rule by its place and its text, with what it refuses."""

CLAUDES = {"model", "rubricRef", "secretRef", "requestsPerMinute", "tokensPerMinute", "name", "key"}
"""Fields that are refused, by a rule, without kind claude."""

MESSAGES = {(place, rule): message for place, rule, message in rules(ROOT_SCHEMA, ())}
SPEC_BOUNDS = list(bounds(crd_spec(), ("spec",)))
STATUS_BOUNDS = list(bounds(STATUS_SCHEMA, ("status",)))


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace in which ScoringPipelines are known, and no operator acts on them."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        made = runner.run(stack.enter_async_context(own_namespace("rules")))
        yield made.namespace
        runner.run(stack.aclose())


@pytest.fixture
async def cluster(namespace: str) -> AsyncIterator[Cluster]:
    async with Cluster(Release(namespace)) as connected:
        yield connected


def document(spec: Json, name: str = "breaks") -> Json:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


async def create(cluster: Cluster, pipeline: Json, query: str = DRY) -> Json:
    return await cluster.call("POST", f"{cluster.pipelines()}?{query}", pipeline)


async def refusal(cluster: Cluster, method: str, path: str, body: Json) -> str:
    """What the API server says to a request that it must refuse as invalid."""
    with pytest.raises(Refused) as refused:
        await cluster.call(method, f"{path}?{DRY}", body)
    assert refused.value.status in (400, 422), refused.value
    return refused.value.body


def test_every_rule_of_the_definition_has_a_case() -> None:
    assert REFUSED.keys() == MESSAGES.keys()


@pytest.mark.parametrize(
    "rule", REFUSED, ids=lambda rule: f"{rule[0] or 'metadata'}: {rule[1][:50]}"
)
async def test_cel_rejects(rule: tuple[str, str], cluster: Cluster) -> None:
    for case in REFUSED[rule]:
        if case.before is None:
            said = await refusal(
                cluster, "POST", cluster.pipelines(), document(case.spec, case.name)
            )
        else:
            made = await create(cluster, document(case.before, case.name), "")
            changed = made | {"spec": case.spec}
            try:
                said = await refusal(cluster, "PUT", cluster.pipelines(case.name), changed)
            finally:
                await cluster.delete(cluster.pipelines(case.name))
        assert MESSAGES[rule] in said, (case, said)
        assert rule[0] in said, (case, said)


@pytest.mark.parametrize(
    ("before", "after"), [(REFERENCE, SECRET), (REFERENCE, RUBRIC), (SECRET, REFERENCE)]
)
async def test_references_come_and_go_with_the_kind(
    before: Json, after: Json, cluster: Cluster
) -> None:
    made = await create(cluster, document(before), "")
    try:
        changed = await cluster.call(
            "PUT", f"{cluster.pipelines('breaks')}?{DRY}", made | {"spec": after}
        )
    finally:
        await cluster.delete(cluster.pipelines("breaks"))
    assert changed["spec"]["scorer"] == after.get("scorer", {"kind": "simulated"})


@pytest.mark.parametrize("bound", SPEC_BOUNDS, ids=str)
async def test_a_bound_of_the_spec_is_kept(bound: Bound, cluster: Cluster) -> None:
    spec = placed(crd_spec(), bound.path[1:], bound.value)
    if isinstance(spec, dict) and "template" not in spec.get("worker", {}):
        spec = REFERENCE | spec
    if isinstance(spec, dict) and bound.path[1:2] == ("scorer",) and bound.path[-1] in CLAUDES:
        spec["scorer"]["kind"] = "claude"
    said = await refusal(cluster, "POST", cluster.pipelines(), document(spec))
    assert bound.message in said, (bound, said)


@pytest.mark.parametrize("bound", STATUS_BOUNDS, ids=str)
async def test_a_bound_of_the_status_is_kept(bound: Bound, cluster: Cluster, existing: str) -> None:
    status = placed(STATUS_SCHEMA, bound.path[1:], bound.value)
    made = await cluster.get(cluster.pipelines(existing))
    path = f"{cluster.pipelines(existing)}/status"
    said = await refusal(cluster, "PUT", path, made | {"status": status})
    assert bound.message in said, (bound, said)


@pytest.fixture
async def existing(cluster: Cluster) -> AsyncIterator[str]:
    """The name of a pipeline that is there."""
    await create(cluster, document(REFERENCE, "existing"), "")
    yield "existing"
    await cluster.delete(cluster.pipelines("existing"))


async def test_two_conditions_of_one_type_are_refused(cluster: Cluster, existing: str) -> None:
    twin = placed(STATUS_SCHEMA, ("conditions", "[]", "type"), "Ready")["conditions"]
    made = await cluster.get(cluster.pipelines(existing))
    path = f"{cluster.pipelines(existing)}/status"
    said = await refusal(cluster, "PUT", path, made | {"status": {"conditions": twin * 2}})
    assert "Duplicate value" in said


async def test_a_field_that_is_not_there_is_refused(cluster: Cluster) -> None:
    spec = merged(REFERENCE, {"scaling": {"maxReplica": 3}})
    said = await refusal(cluster, "POST", cluster.pipelines(), document(spec))
    assert 'unknown field \\"spec.scaling.maxReplica\\"' in said


async def test_defaults_are_filled_in(cluster: Cluster) -> None:
    made = await create(cluster, document(REFERENCE))
    assert made["spec"] == defaulted(crd_spec(), REFERENCE)
    assert made["spec"]["worker"] == {"concurrency": 10, "drainTimeoutSeconds": 60}
    assert made["spec"]["scaling"]["headroom"] == "1.0"


async def test_there_is_nothing_to_scale(cluster: Cluster, existing: str) -> None:
    assert await cluster.find(f"{cluster.pipelines(existing)}/scale") is None


async def test_columns_show_what_they_promise(cluster: Cluster, existing: str) -> None:
    status = {
        "replicas": {"desired": 7, "current": 5, "ready": 3, "draining": 0},
        "demand": {"pending": 120, "inFlight": 40, "waiters": 2},
        "connections": {"summary": "33/180"},
        "decision": {"limitedBy": "connections", "reason": "41/s arriving"},
        "conditions": [
            placed(STATUS_SCHEMA, ("conditions", "[]", "type"), "Ready")["conditions"][0]
            | {"status": "False"}
        ],
    }
    path = cluster.pipelines(existing)
    await cluster.patch(f"{path}/status", {"status": status})
    table = await cluster.call(
        "GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    )  # what kubectl asks for, and prints as it comes
    names = [column["name"] for column in table["columnDefinitions"]]
    shown = dict(zip(names, table["rows"][0]["cells"], strict=True))
    assert shown.pop("Age")[-1] in "ms"
    assert shown == {
        "Name": existing, "Desired": 7, "Workers": 3, "Pending": 120, "In-flight": 40,
        "Conns": "33/180", "Limited-by": "connections", "Ready": "False", "Why": "41/s arriving",
    }  # fmt: skip
    wide = [column["name"] for column in table["columnDefinitions"] if column["priority"]]
    assert wide == ["Why"]


async def test_its_short_name_is_sp(cluster: Cluster) -> None:
    (resource,) = [
        resource
        for resource in (await cluster.get(f"/apis/{API_VERSION}"))["resources"]
        if "/" not in resource["name"]
    ]
    assert resource["shortNames"] == ["sp"]
    assert resource["categories"] == ["all"]


@pytest.mark.parametrize("sample", SAMPLES)
async def test_a_sample_applies(sample: str, cluster: Cluster) -> None:
    (found,) = yaml.safe_load_all(SAMPLES[sample].read_text(encoding="utf-8"))
    made = await cluster.apply(found)
    again = await cluster.apply(found)
    assert again["metadata"]["generation"] == made["metadata"]["generation"] == 1
    await cluster.delete(cluster.pipelines(sample))


@pytest.fixture
async def foreign(cluster: Cluster) -> AsyncIterator[None]:
    """The Gateway API's and the Prometheus operator's kinds are known."""
    async with foreign_definitions(cluster):
        yield


@pytest.mark.usefixtures("foreign")
async def test_the_api_server_takes_all_that_the_chart_renders(cluster: Cluster) -> None:
    """As `kubectl apply --server-side --dry-run=server` does, every set of values in turn."""
    kinds = set()
    for values in SCENARIOS.values():
        free_port = {"service": {"nodePort": None}}  # 30080 may be taken
        for thing in objects(merged(values, free_port)):
            path = await path_of(cluster, thing)
            taken = await cluster.call("PATCH", f"{path}?{DRY}&fieldManager=test", thing, APPLY)
            assert taken["kind"] == thing["kind"]
            kinds.add(thing["kind"])
    assert kinds >= {"Ingress", "HTTPRoute", "PodMonitor", "PrometheusRule", "ScoringPipeline"}


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_pod_of_the_chart_is_admitted_as_restricted(
    scenario: str, cluster: Cluster
) -> None:
    """A Deployment is only warned of what it asks for; the pods that it makes are refused."""
    for component, template in pod_templates(objects(SCENARIOS[scenario])).items():
        spec = {k: v for k, v in template["spec"].items() if k != "serviceAccountName"}
        spec = {"restartPolicy": "Always"} | spec
        spec["volumes"] = [*spec.get("volumes", []), {"name": "data", "emptyDir": {}}]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": component}, "spec": spec}
        assert await cluster.call("POST", f"{cluster.pod()}?{DRY}", pod)


async def test_a_pod_that_is_not_restricted_is_refused(cluster: Cluster) -> None:
    """The test above proves something: the namespace enforces."""
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "root", "image": "busybox"}]},
    }  # fmt: skip
    with pytest.raises(Refused, match="violates PodSecurity"):
        await cluster.call("POST", f"{cluster.pod()}?{DRY}", pod)
