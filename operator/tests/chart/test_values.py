"""Every value that is documented has its effect, and nothing else is taken for a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import helm_python as helm
import jsonschema
import pytest
import yaml

from testkit.kubernetes.chart import (
    CHART,
    chart,
    leaves,
    merged,
    nested,
    render,
    schema,
    values_spec,
)
from testkit.kubernetes.scenarios import BY_URL, EVERYTHING_ON, SCENARIOS
from tools.docs_tables import documented_values

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
DOCUMENTED = dict(documented_values())
SCHEMA = schema()

OTHER_VALUES: dict[str, Any] = {
    "image.repository": "registry.example.com/shortlist",
    "image.tag": "1.2.3",
    "image.pullPolicy": "Always",
    "operatorImage.repository": "registry.example.com/operator",
    "operatorImage.tag": "1.2.3",
    "operatorImage.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "ingest.replicas": 3,
    "maintenance.replicas": 1,
    "dashboard.replicas": 2,
    "operator.enabled": False,
    **{
        f"{process}.{name}": value
        for process in ("ingest", "worker", "maintenance", "dashboard", "operator")
        for name, value in {
            "resources": {"limits": {"memory": "2Gi"}},
            "env": {"OTEL_TRACES_SAMPLER_ARG": 0.1},
            "podAnnotations": {"example.com/owner": "hiring"},
        }.items()
    },
    "pipeline.create": False,
    "pipeline.name": "hiring",
    "pipeline.spec": {"scaling": {"maxReplicas": 5}},
    "postgres.enabled": False,
    "postgres.url": "postgresql://elsewhere/shortlist",
    "postgres.ownerUrl": "postgresql://owner@elsewhere/shortlist",
    "postgres.readerUrl": "postgresql://reader@elsewhere/shortlist",
    "postgres.existingSecret": "db",
    "postgres.maxConnections": 500,
    "postgres.image.repository": "registry.example.com/postgres",
    "postgres.image.tag": "16",
    "postgres.image.pullPolicy": "Always",
    "postgres.storage.size": "50Gi",
    "postgres.storage.className": "fast",
    "postgres.resources": {"limits": {"memory": "8Gi"}},
    "redis.enabled": False,
    "redis.url": "redis://elsewhere",
    "redis.existingSecret": "cache",
    "redis.maxMemory": "1gb",
    "redis.image.repository": "valkey/valkey",
    "redis.image.tag": "7.2",
    "redis.image.pullPolicy": "Always",
    "redis.storage.size": "2Gi",
    "redis.storage.className": "fast",
    "redis.resources": {"limits": {"memory": "1Gi"}},
    "service.type": "LoadBalancer",
    "service.port": 8080,
    "auth.enabled": False,
    "auth.scoring": "lists",
    "private.enabled": True,
    "private.port": 8080,
    "service.nodePort": 30080,
    "ingress.enabled": True,
    "ingress.className": "traefik",
    "ingress.annotations": {"example.com/buffering": "off"},
    "ingress.host": "jobs.example.com",
    "ingress.tlsSecret": "jobs-tls",
    "httpRoute.enabled": True,
    "httpRoute.parentRefs": [{"name": "other"}],
    "httpRoute.hostnames": ["jobs.example.com"],
    "networkPolicy.enabled": False,
    "networkPolicy.ingressFrom": [{"podSelector": {}}],
    "networkPolicy.privateFrom": [{"podSelector": {}}],
    "networkPolicy.monitoringFrom": [{"podSelector": {}}],
    "networkPolicy.apiServerPorts": [16443],
    "networkPolicy.egress": [{"ports": [{"port": 6380}]}],
    "podDisruptionBudget.enabled": False,
    "topologySpread.enabled": False,
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"operator": "Exists"}],
    "podMonitor.enabled": True,
    "podMonitor.interval": "5s",
    "podMonitor.labels": {"release": "prometheus"},
    "prometheusRule.enabled": True,
    "prometheusRule.labels": {"release": "prometheus"},
    "prometheusRule.runbookUrl": "https://example.com/runbooks",
    "dashboards.enabled": True,
    "dashboards.labels": {"folder": "hiring"},
    "otlpEndpoint": "http://collector:4318",
    "logLevel": "debug",
}
"""For every documented value another one than its default."""

ON = {"enabled": True}
NEEDED: dict[str, dict[str, Any]] = {
    "postgres.enabled": {"postgres": {"existingSecret": "db"}},
    "redis.enabled": {"redis": {"existingSecret": "cache"}},
    "postgres.url": BY_URL,
    "postgres.ownerUrl": BY_URL,
    "postgres.readerUrl": BY_URL,
    "redis.url": BY_URL,
    "private.": {"private": ON},
    "networkPolicy.privateFrom": {"private": ON},
    "ingress.": {"ingress": ON},
    "httpRoute.": {"httpRoute": {"parentRefs": [{"name": "web"}]}},
    "httpRoute.parentRefs": {"httpRoute": ON},
    "httpRoute.hostnames": {"httpRoute": ON},
    "podMonitor.": {"podMonitor": ON},
    "prometheusRule.": {"prometheusRule": ON},
    "dashboards.": {"dashboards": ON},
}
"""What a value, or those that begin so, need beside them to have an effect."""


def test_every_documented_value_is_tried_below() -> None:
    assert list(OTHER_VALUES.keys() ^ DOCUMENTED.keys()) == []


def test_every_value_is_documented() -> None:
    lonely = [
        path
        for path, _ in leaves(DEFAULTS)
        if not any(path == known or path.startswith(f"{known}.") for known in DOCUMENTED)
    ]
    assert lonely == []


@pytest.mark.parametrize("path", DOCUMENTED)
def test_a_documented_value_changes_what_is_rendered(path: str) -> None:
    needed = merged(*(v for prefix, v in NEEDED.items() if path.startswith(prefix)))
    if path.endswith(".enabled"):
        needed = {k: {n: v for n, v in of.items() if n != "enabled"} for k, of in needed.items()}
    before = render(needed)
    after = render(merged(needed, nested(path, OTHER_VALUES[path])))
    assert before != after


def places(tree: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every object of the values, by its path."""
    yield path
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from places(value, f"{path}.{name}".removeprefix("."))


FREE = {"ingress.annotations", "nodeSelector", "podMonitor.labels", "prometheusRule.labels",
        "dashboards.labels"}  # fmt: skip
"""Objects whose fields the person who installs the chart names."""


def strict_places() -> list[str]:
    every = {*places(DEFAULTS), "pipeline.spec.line", "pipeline.spec.fallback"}
    free = {p for p in every if p in FREE or p.endswith((".env", ".podAnnotations"))}
    return sorted(every - free)


@pytest.mark.parametrize("path", strict_places())
def test_a_typo_is_refused_at_every_level(path: str) -> None:
    assert "'tpyo'" in " ".join(problems(nested(f"{path}.tpyo".removeprefix("."), 1)))


def problems(values: dict[str, Any]) -> list[str]:
    """What is wrong with values, by the chart's schema."""
    found = jsonschema.Draft7Validator(SCHEMA).iter_errors(values)
    return [error.message for error in found]


def test_helm_enforces_the_schema() -> None:
    for values in ({"tpyo": 1}, nested("pipeline.spec.scaling.tpyo", 1), {"logLevel": "loud"}):
        with pytest.raises(helm.HelmValuesError, match=r"tpyo|logLevel"):
            chart().validate_schema(values)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ingest.replicas", -1),
        ("ingest.replicas", "two"),
        ("ingest.env", {"SHORTLIST PORT": 1}),
        ("ingest.env", {"SHORTLIST_PORT": {"value": 1}}),
        ("image.pullPolicy", "Sometimes"),
        ("image.repository", ""),
        ("imagePullSecrets", ["registry"]),
        ("pipeline.name", "Not_A_Label"),
        ("pipeline.spec.worker.concurrency", 0),
        ("pipeline.spec.worker.drainTimeoutSeconds", 4),
        ("pipeline.spec.worker.template", {"image": "x"}),
        ("pipeline.spec.workerRef", {"name": "x"}),
        ("pipeline.spec.connections.mode", "perhaps"),
        ("pipeline.spec.scaling.headroom", 1.0),
        ("pipeline.spec.scorer.secretRef", {"nmae": "x"}),
        ("postgres.maxConnections", 0),
        ("postgres.storage.size", "ten gigabytes"),
        ("postgres.url", "db.example.com"),
        ("service.port", 0),
        ("service.type", "ExternalName"),
        ("httpRoute.parentRefs", [{"nmae": "web"}]),
        ("networkPolicy.ingressFrom", [{"podSelecter": {}}]),
        ("networkPolicy.egress", [{"port": 443}]),
        ("networkPolicy.apiServerPorts", []),
        ("networkPolicy.apiServerPorts", [0]),
        ("redis.maxMemory", "384Mi"),
        ("redis.maxMemory", 402653184),
        ("tolerations", [{"effect": "Never"}]),
        ("podMonitor.interval", "often"),
        ("podMonitor.enabled", "yes"),
        ("logLevel", "loud"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(path: str, value: Any) -> None:
    assert problems(nested(path, value)) != []


@pytest.mark.parametrize("values", [DEFAULTS, *SCENARIOS.values()])
def test_what_is_right_is_taken(values: dict[str, Any]) -> None:
    assert problems(values) == []


def test_a_parent_chart_may_share_its_values() -> None:
    assert problems({"global": {"registry": "example.com"}}) == []


def test_everything_on_is_everything() -> None:
    switches = {path for path in DOCUMENTED if path.endswith(".enabled")}
    on = {path for path, value in leaves(merged(DEFAULTS, EVERYTHING_ON)) if value is True}
    assert switches <= on


def test_the_schema_of_a_pipelines_spec_is_the_resources_own() -> None:
    """If not: uv run python -m testkit.kubernetes.chart."""
    assert SCHEMA["properties"]["pipeline"]["properties"]["spec"] == values_spec()
