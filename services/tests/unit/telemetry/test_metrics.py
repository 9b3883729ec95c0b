from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from shortlist.telemetry import metrics


def test_every_metric_has_a_base_unit_or_counts_something() -> None:
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            assert family.name.startswith("shortlist_")
            assert not family.name.endswith(("_ms", "_millis", "_minutes", "_kb"))
            assert family.type != "histogram" or family.name.endswith(("_seconds", "_size"))
            assert family.documentation.endswith(".")


def test_every_metric_is_measured_by_some_process() -> None:
    names = [n for n, m in vars(metrics).items() if isinstance(m, MetricWrapperBase)]
    package = Path(metrics.__file__).parents[1]
    files = [f for f in package.rglob("*.py") if f != Path(metrics.__file__)]
    sources = "".join(f.read_text() for f in files)
    assert [name for name in names if not re.search(rf"\b{name}\b", sources)] == []
