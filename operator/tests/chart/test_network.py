"""Who may talk to whom: the network policies, evaluated as a cluster's network would."""

from __future__ import annotations

from typing import Any

import pytest

from shortlist.domain.sizing.pipeline import parse_pipeline
from shortlist_operator.kubernetes.desired import worker_deployment
from testkit.kubernetes.chart import RELEASE, objects, of_kind, pod_templates
from testkit.kubernetes.scenarios import BY_URL, EVERYTHING_ON, PRIVATE, SCENARIOS

Labels = dict[str, str]
Pods = dict[str, Labels]

OUTSIDE: Pods = {
    "stranger": {"app": "stranger"},
    "another release": {
        "app.kubernetes.io/name": "shortlist",
        "app.kubernetes.io/instance": "another",
        "app.kubernetes.io/component": "ingest",
    },
}
NAMESPACES = {"gateway": {"name": "gateways"}, "prometheus": {"name": "monitoring"}}
"""Pods in namespaces of their own, by the labels of those."""

INTERNET = "the internet"
OPERATORS_WORKER = "the operator's own worker"


def pods(values: dict[str, Any]) -> Pods:
    """The labels of all pods, ours and others'."""
    ours = {name: pod["metadata"]["labels"] for name, pod in pod_templates(objects(values)).items()}
    return ours | OUTSIDE | {OPERATORS_WORKER: operators_worker_labels()}


def operators_worker_labels() -> Labels:
    document = {
        "apiVersion": "shortlist.dev/v1alpha1",
        "kind": "ScoringPipeline",
        "metadata": {"name": "hiring", "uid": "1"},
        "spec": {"worker": {"template": {"image": "shortlist"}}},
    }
    deployment = worker_deployment(
        parse_pipeline(document), owner=document, instance=RELEASE,
        database_secret="db", redis_secret="cache",
    )  # fmt: skip
    labels: Labels = deployment["spec"]["template"]["metadata"]["labels"]
    return labels


def selects(selector: dict[str, Any], labels: Labels) -> bool:
    """Kubernetes's label selectors, as far as they are used here."""
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return all(labels.get(key) == is_ for key, is_ in selector.get("matchLabels", {}).items())


def is_peer(peer: dict[str, Any], name: str, everybody: Pods) -> bool:
    if "namespaceSelector" in peer:
        assert "podSelector" not in peer
        return name != INTERNET and selects(peer["namespaceSelector"], NAMESPACES.get(name, {}))
    in_this_namespace = name in everybody
    return in_this_namespace and selects(peer["podSelector"], everybody[name])


def allows(policies: list[Any], way: str, of: str, peer: str, port: int, everybody: Pods) -> bool:
    """Whether the policies that are for ``of`` let it (``Egress``) or its peers (``Ingress``)."""
    if of not in everybody:
        return True
    bound = [
        policy["spec"]
        for policy in policies
        if way in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], everybody[of])
    ]
    side = "from" if way == "Ingress" else "to"
    rules = [rule for spec in bound for rule in spec.get(way.lower()) or []]
    return not bound or any(
        (not rule.get(side) or any(is_peer(p, peer, everybody) for p in rule[side]))
        and (not rule.get("ports") or port in {p["port"] for p in rule["ports"]})
        for rule in rules
    )


def may_call(values: dict[str, Any], caller: str, called: str, port: int) -> bool:
    policies = list(of_kind("NetworkPolicy", objects(values)).values())
    everybody = pods(values)
    return allows(policies, "Egress", caller, called, port, everybody) and allows(
        policies, "Ingress", called, caller, port, everybody
    )


SPEAK_TO_SERVERS = ("ingest", "worker", "maintenance", "dashboard", "operator", "migrate",
                    OPERATORS_WORKER)  # fmt: skip


@pytest.mark.parametrize("caller", SPEAK_TO_SERVERS)
def test_our_processes_reach_both_servers_and_names(caller: str) -> None:
    assert may_call({}, caller, "postgres", 5432)
    assert may_call({}, caller, "redis", 6379)
    assert may_call({}, caller, INTERNET, 53)


@pytest.mark.parametrize("caller", [*OUTSIDE, "gateway", "test", INTERNET])
def test_nobody_else_reaches_a_server(caller: str) -> None:
    assert not may_call({}, caller, "postgres", 5432)
    assert not may_call({}, caller, "redis", 6379)


@pytest.mark.parametrize("caller", [*OUTSIDE, "gateway", INTERNET, "test"])
def test_everybody_may_call_ingest_and_only_ingest(caller: str) -> None:
    assert may_call({}, caller, "ingest", 8000)
    for called in ("worker", "maintenance", "dashboard", "operator", "postgres", "redis"):
        assert not may_call({}, caller, called, 8000), called


def test_only_whom_it_is_for_reaches_the_private_port() -> None:
    """By default no client does."""
    on = {"private": {"enabled": True}}
    for caller in (*OUTSIDE, "gateway", INTERNET, "test", "prometheus"):
        assert not may_call(on, caller, "ingest", 8002), caller
    assert may_call(PRIVATE, "gateway", "ingest", 8002)
    assert may_call(PRIVATE, "gateway", "ingest", 8000)
    assert not may_call(PRIVATE, "stranger", "ingest", 8002)
    assert not may_call(PRIVATE, "prometheus", "ingest", 8002)


def test_pages_are_fetched_by_ingest() -> None:
    assert may_call({}, "ingest", "dashboard", 8000)


def test_callers_can_be_limited_and_helm_test_still_works() -> None:
    assert may_call(EVERYTHING_ON, "gateway", "ingest", 8000)
    assert may_call(EVERYTHING_ON, "test", "ingest", 8000)
    assert not may_call(EVERYTHING_ON, "stranger", "ingest", 8000)
    assert not may_call(EVERYTHING_ON, INTERNET, "ingest", 8000)


def test_workers_reach_the_model_and_the_operator_the_api_server_and_nobody_else_either() -> None:
    for caller in ("worker", OPERATORS_WORKER, "operator"):
        assert may_call({}, caller, INTERNET, 443)
    assert may_call({}, "operator", INTERNET, 6443)
    for caller in ("ingest", "maintenance", "dashboard", "migrate", "test", "postgres", "redis"):
        assert not may_call({}, caller, INTERNET, 443), caller
    for caller in ("postgres", "redis"):
        assert not may_call({}, caller, INTERNET, 53), caller
    assert not may_call({}, "worker", INTERNET, 80)


def test_the_api_server_may_be_on_another_port() -> None:
    values = {"networkPolicy": {"apiServerPorts": [8443, 16443]}}
    assert may_call(values, "operator", INTERNET, 8443)
    assert may_call(values, "operator", INTERNET, 16443)
    assert not may_call(values, "operator", INTERNET, 6443)
    assert not may_call(values, "worker", INTERNET, 8443)


@pytest.mark.parametrize("called", ["ingest", "worker", "maintenance", "operator", "dashboard"])
def test_metrics_are_scraped_by_whom_they_are_for(called: str) -> None:
    port = 8001 if called in {"ingest", "dashboard"} else 8000
    assert not may_call({}, "prometheus", called, port)
    assert may_call({"podMonitor": {"enabled": True}}, "prometheus", called, port)
    assert may_call(EVERYTHING_ON, "prometheus", called, port)
    assert not may_call(EVERYTHING_ON, "stranger", called, port)


@pytest.mark.parametrize(
    ("postgres", "redis", "ports"),
    [
        ("postgresql://u:p@db:6432/x", "rediss://:p@cache:6380/0", {6432, 6380}),
        ("postgresql://db/x", "redis://cache", {5432, 6379}),
        ("postgresql://u@a:5433,b:5434/x?sslmode=no", "redis://[::1]:7000/1", {5433, 5434, 7000}),
    ],
)
def test_the_way_to_an_existing_server_is_in_its_url(
    postgres: str, redis: str, ports: set[int]
) -> None:
    values = {
        "postgres": {"enabled": False, "url": postgres},
        "redis": {"enabled": False, "url": redis},
    }
    assert ports_open_anywhere(values, "ingest") == ports | {53}


def ports_open_anywhere(values: dict[str, Any], caller: str) -> set[int]:
    labels = pods(values)[caller]
    return {
        port["port"]
        for policy in of_kind("NetworkPolicy", objects(values)).values()
        if selects(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get("egress") or []
        if not rule.get("to")
        for port in rule["ports"]
    }


def test_an_existing_server_that_only_a_secret_knows_is_on_its_usual_port_or_named() -> None:
    values = SCENARIOS["existing servers by secret"]
    assert may_call(values, "worker", INTERNET, 5432)
    assert may_call(values, "worker", INTERNET, 6379)
    assert not may_call(values, "worker", INTERNET, 6380)
    named = values | {"networkPolicy": {"egress": [{"ports": [{"port": 6380}]}]}}
    assert may_call(named, "worker", INTERNET, 6380)


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://collector:4318", 4318), ("https://otlp.example.com", 443), ("http://c/otlp", 80)],
)
def test_traces_get_to_the_collector(endpoint: str, port: int) -> None:
    assert may_call({"otlpEndpoint": endpoint}, "ingest", INTERNET, port)
    assert not may_call({}, "ingest", INTERNET, port)


@pytest.mark.parametrize("values", [{}, EVERYTHING_ON, BY_URL])
def test_every_pod_is_denied_what_is_not_opened(values: dict[str, Any]) -> None:
    deny = of_kind("NetworkPolicy", objects(values))[f"{RELEASE}-shortlist-default-deny"]["spec"]
    assert deny.keys() == {"podSelector", "policyTypes"}
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    everybody = pods(values)
    for name, labels in everybody.items():
        assert selects(deny["podSelector"], labels) is (name not in OUTSIDE), name
