"""Prometheus, where there is one, and what our processes tell it."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from prometheus_client.metrics import Histogram, MetricWrapperBase

from shortlist import telemetry
from shortlist_operator import metrics as operator_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Series and labels in a query that nobody tells."""
    known = known_series()
    used = series_used(query)
    wrong = [name for name in used if name not in known]
    labels = {label for name in used for label in known.get(name, set())} | SCRAPED_LABELS
    wrong += [label for of in used.values() for label in of if label not in labels]
    return wrong + [label for label in labels_grouped_by(query) if label not in labels]


def _series() -> Iterator[tuple[str, set[str]]]:
    for metric in [*vars(telemetry).values(), *vars(operator_metrics).values()]:
        if isinstance(metric, MetricWrapperBase):
            labels = set(metric._labelnames)
            (family,) = metric.describe()
            if isinstance(metric, Histogram):
                yield f"{family.name}_bucket", labels | {"le"}
                yield f"{family.name}_sum", labels
                yield f"{family.name}_count", labels
            else:
                yield family.name + ("_total" if family.type == "counter" else ""), labels
