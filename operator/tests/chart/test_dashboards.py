"""Every panel asks a question that Prometheus understands, about series that exist."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics import MetricWrapperBase

from shortlist_operator import metrics as operator_metrics
from testkit.databases.servers import Servers
from testkit.kubernetes.chart import CHART, objects, of_kind
from testkit.kubernetes.scenarios import EVERYTHING_ON
from testkit.observability.prometheus import (
    Prometheus,
    known_series,
    scraping,
    series_used,
    tool,
    unknown_parts,
)
from testkit.processes.stack import Stack, free_port
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((CHART / "dashboards").glob("*.json"))
}
VARIABLES = {"$namespace": "prod", "$pipeline": ".*", "$__rate_interval": "1m"}

RARE = {
    "shortlist_attempts_ended_total",
    "shortlist_client_connections_given_up_total",
    "shortlist_faults_total",
    "shortlist_fenced_total",
    "shortlist_hiring_retention_removed_total",
    "shortlist_poisonous_total",
    "shortlist_refused_total",
    "shortlist_republished_total",
    "shortlist_retention_removed_total",
}
"""Series that appear when something out of the ordinary happens first."""

APPLICATIONS = 20


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries() -> list[Any]:
    """Each query of each panel."""
    return [
        pytest.param(target["expr"], id=f"{name}-{panel['title']}-{target['refId']}")
        for name, dashboard in DASHBOARDS.items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def filled_in(query: str) -> str:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    assert "$" not in query
    return query


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_series_and_labels_that_exist(query: str) -> None:
    assert unknown_parts(query) == []
    assert 'namespace=~"$namespace"' in query
    filled_in(query)


@pytest.mark.parametrize("query", queries())
def test_no_figure_that_many_processes_tell_is_summed(query: str) -> None:
    """`shortlist_line_*` come from maintenance and from every ingest (docs/metrics.md)."""
    assert not re.search(r"sum (?:by \([^)]*\) )?\(shortlist_(?:line|operator_(?!acting))", query)


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    shown = {series for (query,) in (q.values for q in queries()) for series in series_used(query)}
    bases = {re.sub(r"_(bucket|sum|count)$", "", series) for series in shown}
    known = {re.sub(r"_(bucket|sum|count)$", "", series) for series in known_series()}
    assert known - bases == set()


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_a_dashboard_can_be_read(dashboard: dict[str, Any]) -> None:
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({(p["type"], p["title"]) for p in everything}) == len(everything)
    for panel in panels(dashboard):
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        for source in [panel["datasource"], *(t["datasource"] for t in panel["targets"])]:
            assert source == {"type": "prometheus", "uid": "${datasource}"}
    squares = [
        (x, y)
        for place in (panel["gridPos"] for panel in everything)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(squares)) == len(squares), "panels overlap"
    assert max(x for x, _ in squares) < 24


def test_no_two_dashboards_have_one_address() -> None:
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


def test_the_chart_hands_the_dashboards_to_grafana_as_they_are() -> None:
    (found,) = (
        config
        for config in of_kind("ConfigMap", objects(EVERYTHING_ON)).values()
        if config["metadata"]["labels"].get("grafana_dashboard") == "1"
    )
    assert {name: json.loads(text) for name, text in found["data"].items()} == {
        f"{name}.json": dashboard for name, dashboard in DASHBOARDS.items()
    }


@pytest.mark.slow
async def test_a_real_prometheus_answers_every_panel_and_takes_every_alert(tmp_path: Path) -> None:
    tool("prometheus")
    async with running(tmp_path) as prometheus:
        empty = []
        for (query,) in (parameter.values for parameter in queries()):
            found = await prometheus.query(filled_in(query))
            if not found and not RARE & series_used(query).keys():
                empty.append(query)
        assert not empty, "\n".join(empty)
        for group in (await prometheus.get("rules"))["groups"]:
            for rule in group["rules"]:
                assert rule["health"] == "ok", rule
        for dashboard in DASHBOARDS.values():
            for variable in dashboard["templating"]["list"]:
                if variable["type"] == "query":
                    assert await values_of(prometheus, variable["definition"])


async def values_of(prometheus: Prometheus, definition: str) -> list[str]:
    """What Grafana would offer for ``label_values(series, label)``."""
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", definition)
    assert asked
    values: list[str] = await prometheus.get(
        f"label/{asked[2]}/values", **{"match[]": filled_in(asked[1])}
    )
    return values


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Prometheus]:
    """Real processes that have scored a few applications, and a Prometheus that watched them."""
    servers = await Servers.start(directory)
    operator_port = free_port()
    operator, thread = start_http_server(operator_port, "127.0.0.1", operator_figures())
    stack = Stack(directory, servers.postgres.url, servers.redis.url, service_seconds=0.05)
    try:
        async with stack:
            services = await stack.start_all("ingest", "worker", "maintenance")
            pods = {service.name: service.port for service in services} | {
                "operator": operator_port
            }
            rules = CHART / "rules" / "shortlist.yaml"
            async with scraping(directory, pods, rules) as prometheus:
                await seen(prometheus, f'count(up{{job="shortlist"}} == 1) == {len(pods)}')
                await score_some(services[0].url)
                await seen_everywhere(prometheus, APPLICATIONS)
                # A rate needs two looks at a series that has changed since it appeared.
                await score_some(services[0].url)
                await seen_everywhere(prometheus, 2 * APPLICATIONS)
                yield prometheus
    finally:
        operator.shutdown()
        operator.server_close()
        await asyncio.to_thread(thread.join)
        await servers.stop()


def operator_figures() -> CollectorRegistry:
    """The operator's real metrics, with figures as it would set them: it needs a cluster to run."""
    registry = CollectorRegistry()
    for metric in vars(operator_metrics).values():
        if isinstance(metric, MetricWrapperBase):
            registry.register(metric)
            values = ["default", "kubernetes" if "at" in metric._labelnames else "out"]
            if metric._labelnames:
                metric.labels(*values[: len(metric._labelnames)])
    return registry


async def score_some(url: str) -> None:
    async with aiohttp.ClientSession(url) as http:
        for number in range(APPLICATIONS):
            body = {"candidate": "Ada", "payload": f"application {number}"}
            async with http.post("/applications", json=body) as answer:
                assert answer.status == 202
        async with http.get("/api/healthz") as answer:
            assert answer.status == 200


async def seen_everywhere(prometheus: Prometheus, count: int) -> None:
    """Each process is looked at in its own second: wait for those that count applications."""
    for name in ("accepted", "completed"):
        await seen(prometheus, f"sum(shortlist_{name}_total) == {count}")


async def seen(prometheus: Prometheus, condition: str) -> None:
    async def look() -> bool:
        return bool(await prometheus.query(condition))

    await until(look, within_seconds=60, what=condition)
