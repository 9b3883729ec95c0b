"""Prometheus, where there is one, and what our processes tell it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client.metrics import Histogram, MetricWrapperBase

from shortlist.telemetry import metrics
from shortlist_operator import metrics as operator_metrics
from testkit.processes import reaper
from testkit.processes.stack import free_port, status_of
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

SCRAPED_LABELS = {"namespace", "pod", "job", "instance"}
"""What Prometheus adds to every series of a pod."""


def tool(name: str) -> str:
    """Where ``prometheus`` or ``promtool`` is. Without it the test is skipped; CI must have it."""
    found = shutil.which(name)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing (Debian's package prometheus)")
    return found or pytest.skip(f"{name} is not installed (Debian's package prometheus)")


def known_series() -> dict[str, set[str]]:
    """Each series of ours and of the operator, with its own labels."""
    return dict(_series())


def series_used(query: str) -> dict[str, set[str]]:
    """The series that a query reads, with the labels that it asks for in braces."""
    return {
        name: set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", braces))
        for name, braces in re.findall(r"\b(shortlist_\w+)(?:\{([^}]*)\})?", query)
    }


def labels_grouped_by(query: str) -> set[str]:
    """The labels of all ``by`` clauses."""
    lists = re.findall(r"\bby *\(([^)]*)\)", query)
    return {label.strip() for names in lists for label in names.split(",")}


def unknown_parts(query: str) -> list[str]:
    """Series and labels in a query that no process exports."""
    known = known_series()
    used = series_used(query)
    wrong = [name for name in used if name not in known]
    labels = {label for name in used for label in known.get(name, set())} | SCRAPED_LABELS
    wrong += [label for of in used.values() for label in of if label not in labels]
    return wrong + [label for label in labels_grouped_by(query) if label not in labels]


def _series() -> Iterator[tuple[str, set[str]]]:
    for metric in [*vars(metrics).values(), *vars(operator_metrics).values()]:
        if isinstance(metric, MetricWrapperBase):
            labels = set(metric._labelnames)
            (family,) = metric.describe()
            if isinstance(metric, Histogram):
                yield f"{family.name}_bucket", labels | {"le"}
                yield f"{family.name}_sum", labels
                yield f"{family.name}_count", labels
            else:
                yield family.name + ("_total" if family.type == "counter" else ""), labels


@dataclass(frozen=True)
class Prometheus:
    """A real one on loopback."""

    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        async with self.http.get(f"{self.url}/api/v1/{path}", params=parameters) as answer:
            body = await answer.json()
            assert body["status"] == "success", (parameters, body)
            return body["data"]

    async def query(self, query: str) -> list[Any]:
        """What an instant query finds."""
        found: list[Any] = (await self.get("query", query=query))["result"]
        return found


@asynccontextmanager
async def scraping(
    directory: Path, pods: Mapping[str, int], rules: Path
) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes each pod's port each second, with the labels of a PodMonitor."""
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "prod", "pod": pod}}
        for pod, port in pods.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "shortlist", "static_configs": targets}],
    }
    (directory / "prometheus.yaml").write_text(json.dumps(config), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    process = _spawn(directory, address)

    async def ready() -> bool:
        assert process.poll() is None, (directory / "prometheus.log").read_text(encoding="utf-8")
        return await status_of(f"http://{address}/-/ready") == 200

    try:
        await until(ready, within_seconds=60, what="Prometheus is ready")
        async with aiohttp.ClientSession() as http:
            yield Prometheus(f"http://{address}", http)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _spawn(directory: Path, address: str) -> subprocess.Popen[bytes]:
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={directory / 'prometheus.yaml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    reaper.entrust(process)
    return process
