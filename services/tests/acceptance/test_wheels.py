"""What ``pip install`` gives a user: the wheels alone, in an environment without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import aiohttp
import pytest

from testkit.processes.up import running
from testkit.repository import ROOT
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600, func_only=True)]

PACKAGES = {"shortlist": "shortlist/", "shortlist-operator": "shortlist_operator/"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both distributions, built from this checkout."""
    built = tmp_path_factory.mktemp("wheels")
    for package in PACKAGES:
        _uv("build", "--wheel", "--package", package, "--out-dir", str(built), at=ROOT)
    return {
        package: next(built.glob(f"{package.replace('-', '_')}-[0-9]*.whl")) for package in PACKAGES
    }


@pytest.fixture(scope="module")
def python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment in which nothing but the wheels, and what they ask for, is installed."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    _uv("venv", "--python", sys.executable, str(environment), at=environment.parent)
    python = environment / "bin" / "python"
    wanted = [f"{wheels['shortlist']}[embedded]", str(wheels["shortlist-operator"])]
    _uv("pip", "install", "--python", str(python), *wanted, at=environment.parent)
    return python


def _uv(*arguments: str, at: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    done = subprocess.run(
        ["uv", "--quiet", *arguments], cwd=at, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_the_licence_and_no_tests(wheels: dict[str, Path], package: str) -> None:
    names = zipfile.ZipFile(wheels[package]).namelist()
    ours = (PACKAGES[package], f"{PACKAGES[package].rstrip('/')}-")
    assert [n for n in names if not n.startswith(ours)] == []
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert [n for n in names if "test" in n or "unguarded" in n] == []


async def test_up_of_an_installed_wheel_scores_an_application(python: Path, tmp_path: Path) -> None:
    with running(tmp_path, python=str(python), SHORTLIST_SERVICE_SECONDS="0") as up:
        async with aiohttp.ClientSession(await up.ready()) as session:
            body = {"candidate": "Ada", "payload": "I wrote the first program."}
            async with session.post("/applications", json=body) as answer:
                assert answer.status == 202
                location = answer.headers["Location"]

            async def scored() -> bool:
                async with session.get(location) as answer:
                    return bool((await answer.json())["status"] == "scored")

            await until(scored, within_seconds=60, what="it is scored")
        up.interrupt()
        assert await up.ended() == 0


def test_an_installed_operator_says_what_it_misses(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-m", "shortlist_operator"],
        cwd=tmp_path, env={}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
