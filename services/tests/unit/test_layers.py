"""No module is outside the law: `lint-imports` knows each, and so do the lists in its contracts."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from testkit.repository import ROOT

CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
    "tool"
]["importlinter"]["contracts"]
SOURCES = {"shortlist": "services/src", "shortlist_operator": "operator/src"}


def layers_of(package: str) -> dict[str, Any]:
    return next(c for c in CONTRACTS if package in c.get("containers", ()))


@pytest.mark.parametrize("package", SOURCES)
def test_every_contract_of_layers_is_exhaustive(package: str) -> None:
    assert layers_of(package)["exhaustive"] is True


@pytest.mark.parametrize("package", SOURCES)
def test_every_module_at_the_top_has_a_layer(package: str) -> None:
    listed = {name.strip() for layer in layers_of(package)["layers"] for name in layer.split("|")}
    there = {
        path.stem
        for path in (ROOT / SOURCES[package] / package).iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()
    }
    assert there == listed


def test_every_module_but_storage_may_not_import_a_driver() -> None:
    (rule,) = [c for c in CONTRACTS if c["name"].startswith("Only storage speaks")]
    layers = {n.strip() for layer in layers_of("shortlist")["layers"] for n in layer.split("|")}
    may_not = layers - {"storage", "__main__"}
    assert set(rule["source_modules"]) == {f"shortlist.{n}" for n in may_not} | {
        "shortlist_operator"
    }
