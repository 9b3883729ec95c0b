"""Every alert is built on what we measure, fires when it should, and has a page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import shortlist
from testkit.kubernetes.chart import CHART, objects, of_kind
from testkit.kubernetes.scenarios import EVERYTHING_ON
from testkit.observability.prometheus import labels_grouped_by, tool, unknown_parts
from testkit.repository import ROOT

RULES = CHART / "rules" / "shortlist.yaml"
CASES = Path(__file__).with_name("alerts.yaml")
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]

ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}

each_alert = pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)


@each_alert
def test_an_alert_asks_for_series_and_labels_that_exist(alert: dict[str, Any]) -> None:
    assert unknown_parts(alert["expr"]) == []


@each_alert
def test_an_alert_asks_for_label_values_that_our_code_writes(alert: dict[str, Any]) -> None:
    package = Path(shortlist.__file__).parent
    code = "".join(file.read_text(encoding="utf-8") for file in package.rglob("*.py"))
    for values in re.findall(r'=~?"([^"]+)"', alert["expr"]):
        for value in values.split("|"):
            assert f'"{value}"' in code, value


@each_alert
def test_an_alert_says_what_is_wrong_and_how_bad_it_is(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"].keys() == {"summary", "description"}
    assert alert["annotations"]["summary"].endswith(".")
    shown = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["description"]))
    assert shown <= labels_grouped_by(alert["expr"])


@each_alert
def test_an_alert_has_a_page(alert: dict[str, Any]) -> None:
    page = (RUNBOOKS / f"{alert['alert']}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {alert['alert']}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS


def test_every_page_is_for_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == ALERTS.keys()


def test_every_alert_has_a_case_that_makes_it_fire() -> None:
    cases = CASES.read_text(encoding="utf-8")
    fired = set(re.findall(r'value: 1, labels: \'{alertname="(\w+)"', cases))
    assert fired == ALERTS.keys()


def test_an_alert_leads_to_where_its_page_is_published() -> None:
    (rule,) = of_kind("PrometheusRule", objects(EVERYTHING_ON)).values()
    rendered = [alert for group in rule["spec"]["groups"] for alert in group["rules"]]
    assert [alert["alert"] for alert in rendered] == list(ALERTS)
    for alert in rendered:
        page = f"https://example.com/runbooks/{alert['alert']}.md"
        ours = ALERTS[alert["alert"]]
        assert alert == ours | {"annotations": ours["annotations"] | {"runbook_url": page}}


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", str(RULES))


def test_every_alert_fires_when_it_should_and_not_before() -> None:
    promtool("test", "rules", CASES.name)


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [tool("promtool"), *arguments],
        cwd=CASES.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
