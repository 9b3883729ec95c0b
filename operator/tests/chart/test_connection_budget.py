"""What is not a worker may open fits into what a pipeline leaves to it, by default.

Counted by what each process may hold at once. Not counted are the connections by which each looks
for another server (`storage.watch`): one for each process, for milliseconds, once a second.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from shortlist.dashboard.main import CONNECTIONS as DASHBOARD
from shortlist.domain.sizing.pipeline import ConnectionsSpec
from shortlist.embedded.scaling.machine import FEWEST_CONNECTIONS
from shortlist.ingest.main import ACCEPT_CONNECTIONS, READ_CONNECTIONS
from shortlist.maintenance.main import CONNECTIONS as LEADER
from shortlist.settings import IngestSettings, MaintenanceSettings
from testkit.kubernetes.chart import CHART

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

SCALER = 1
"""The operator's, or that of `shortlist up`."""

SUPERUSER_RESERVED = 3
"""Postgres's default."""


def beside_workers(*, ingest: int, maintenance: int, dashboard: int) -> int:
    """Connections that so many processes may hold at once, with what sizes the workers."""
    each_ingest = ACCEPT_CONNECTIONS + READ_CONNECTIONS + hiring(IngestSettings())
    leader = LEADER + hiring(MaintenanceSettings())
    waiting = maintenance - 1
    return ingest * each_ingest + leader + waiting + dashboard * DASHBOARD + SCALER


def hiring(settings: IngestSettings | MaintenanceSettings) -> int:
    """What a process opens for hiring."""
    return sum(v for name, v in settings if name.endswith("hiring_connections"))


def replicas(values: dict[str, Any]) -> dict[str, int]:
    return {part: values[part]["replicas"] for part in ("ingest", "maintenance", "dashboard")}


def fits(values: dict[str, Any]) -> None:
    reserved = values["pipeline"]["spec"]["connections"]["reserved"]
    assert beside_workers(**replicas(values)) <= reserved


def test_the_charts_default_replicas_fit_into_what_is_reserved() -> None:
    fits(VALUES)


@pytest.mark.parametrize("part", ["ingest", "dashboard"])
def test_off_switch_many_more_replicas_do_not_fit(part: str) -> None:
    with pytest.raises(AssertionError):
        fits(VALUES | {part: VALUES[part] | {"replicas": VALUES[part]["replicas"] + 20}})


def test_what_the_chart_reserves_is_the_resources_own_default() -> None:
    assert VALUES["pipeline"]["spec"]["connections"]["reserved"] == ConnectionsSpec().reserved


def test_the_processes_of_up_fit_into_what_is_reserved() -> None:
    up = beside_workers(ingest=1, maintenance=1, dashboard=1)
    assert up <= ConnectionsSpec().reserved


def test_on_the_smallest_machine_up_has_connections_for_workers() -> None:
    left = FEWEST_CONNECTIONS - SUPERUSER_RESERVED - ConnectionsSpec().reserved
    assert left >= 5 * ConnectionsSpec().first_grant
