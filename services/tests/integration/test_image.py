"""What an image holds is what its bill of materials says: the Dockerfiles' own commands, run here.

No image is built: `uv` installs into a directory what it would install into the image, from its
cache, and writes the bill beside it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import pytest
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from testkit.repository import ROOT

if TYPE_CHECKING:
    from pathlib import Path

INSTALLED_AT = "/opt/shortlist"
COMPONENTS = {"services": "shortlist", "operator": "shortlist-operator"}
CONDITION = "uv:package:marker"
"""Of a component that is not for every machine."""


@dataclass(frozen=True)
class Image:
    """Name → version of each distribution."""

    installed: dict[str, str]
    told: dict[str, str]


def environment(dockerfile: str) -> dict[str, str]:
    """What its ENV lines set while it is built."""
    build = dockerfile.partition("\nFROM ${BASE}\n")[0]
    lines = re.findall(r"^ENV (.*)$", build, re.MULTILINE)
    found = [pair for line in lines for pair in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', line)]
    return {name: quoted or plain for name, quoted, plain in found}


def commands(dockerfile: str) -> list[str]:
    """How it runs uv, in order."""
    joined = dockerfile.replace("\\\n", " ")
    runs = re.findall(r"^RUN (.*)$", joined, re.MULTILINE)
    parts = [part.strip() for run in runs for part in run.split("&&")]
    return [part for part in parts if part.startswith("/opt/uv/bin/uv ")]


def built(component: str, directory: Path, more: str = "") -> Image:
    """Run them as if ``directory`` were the image; ``more`` arguments for the bill."""
    dockerfile = (ROOT / component / "Dockerfile").read_text(encoding="utf-8")
    place = str(directory / "image")
    variables = {n: v.replace(INSTALLED_AT, place) for n, v in environment(dockerfile).items()}
    variables |= {
        "UV_COMPILE_BYTECODE": "0",
        "UV_OFFLINE": "1",
    }  # time, and other people's network
    for command in commands(dockerfile):
        here = command.replace("/opt/uv/bin/uv", "uv").replace(INSTALLED_AT, place)
        done = subprocess.run(
            ["/bin/sh", "-c", f"{here} {more if ' export ' in here else ''}"],
            cwd=ROOT,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{here}: {done.stderr}"
    (packages,) = (directory / "image/lib").glob("python3*/site-packages")
    bill = json.loads((directory / "image/sbom.cdx.json").read_text(encoding="utf-8"))
    return Image(
        {canonicalize_name(d.name): d.version for d in distributions(path=[str(packages)])},
        told(bill),
    )


def told(bill: dict[str, object]) -> dict[str, str]:
    """What a bill says is on a machine like this one."""
    components = [bill["metadata"]["component"], *bill["components"]]  # type: ignore[index,misc]
    return {
        canonicalize_name(one["name"]): one.get("version", "")
        for one in components
        if is_for_this_machine(one.get("properties", []))
    }


def is_for_this_machine(properties: list[dict[str, str]]) -> bool:
    conditions = [one["value"] for one in properties if one["name"] == CONDITION]
    return all(Marker(condition).evaluate() for condition in conditions)


def is_as_told(image: Image) -> None:
    assert image.installed.items() <= image.told.items(), "there is more than is told"
    assert image.told.items() <= image.installed.items(), "there is less than is told"


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_image_holds_what_its_bill_of_materials_says(component: str, tmp_path: Path) -> None:
    image = built(component, tmp_path)
    assert COMPONENTS[component] in image.installed
    assert len(image.installed) > 20
    is_as_told(image)


def test_off_switch_a_bill_that_leaves_something_out_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="more than is told"):
        is_as_told(built("services", tmp_path, "--no-emit-package redis"))


def test_off_switch_a_bill_that_tells_of_more_is_noticed() -> None:
    with pytest.raises(AssertionError, match="less than is told"):
        is_as_told(Image({"redis": "8"}, {"redis": "8", "fastapi": "1"}))


def test_what_is_for_another_system_is_not_looked_for_here() -> None:
    assert not is_for_this_machine([{"name": CONDITION, "value": "sys_platform == 'win32'"}])
