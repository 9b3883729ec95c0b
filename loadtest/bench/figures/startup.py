"""What a start costs: CPU for its imports, and how the front door fares while workers start."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from loadtest.bench.child import free_port, python, wait_for_port
from loadtest.bench.figure import Figure, Samples, Target, ratios
from shortlist.cli.loading import PROCESSES
from testkit.repository import ROOT

if TYPE_CHECKING:
    from loadtest.bench.bench import Bench
    from loadtest.bench.child import Child

_BARE = "import fastapi, uvicorn"
_AT_MOST = {"ingest": 1.3, "worker": 1.4, "maintenance": 1.35, "dashboard": 1.45, "operator": 2.0}
"""× the bare import. Before anything was left out: 2.6, 2.1, 2.0, 2.1."""

_PROGRAMS = {
    **{name: f"from shortlist.cli.loading import load; load('{name}')" for name in PROCESSES},
    "operator": "import shortlist_operator.main",
}
"""What each process imports before it does anything."""

_USERS = 1000
_PROBE_SECONDS = 0.05
_READY_SECONDS = 120.0
_FRONT_DOOR_AT_MOST = 1.5
_P95 = 0.95


async def run(bench: Bench) -> list[Figure]:
    """Measure imports first, while nothing else runs."""
    return [*_import_figures(bench), await _front_door(bench)]


def _import_figures(bench: Bench) -> list[Figure]:
    programs = {"bare": _BARE, **_PROGRAMS}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for program in programs.values():
        _cpu_seconds(program)  # bytecode is compiled once, and not at each start
    for _ in range(bench.scale(5, 15)):
        for name, program in programs.items():
            seconds[name].append(_cpu_seconds(program))
    return [
        Figure(
            f"startup_{process}",
            f"CPU of {process}'s imports ÷ that of “{_BARE}”",
            "×",
            ratios(seconds[process], seconds["bare"]),
            Target("at most", _AT_MOST[process]),
            note=f"{Samples.of(seconds[process]).median:.2f} s, "
            f"bare {Samples.of(seconds['bare']).median:.2f} s",
        )
        for process in _PROGRAMS
    ]


def _cpu_seconds(program: str) -> float:
    """User and system time of a new Python that runs this program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(python("-c", program), check=True, cwd=ROOT)  # noqa: S603 (our own programs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


async def _front_door(bench: Bench) -> Figure:
    """Users come to an ``up`` that is ready just now; and again, when its workers run."""
    cold: list[float] = []
    warm: list[float] = []
    for number in range(bench.scale(1, 3)):
        port = free_port()
        data = bench.directory / f"up-{number}"
        command = python("-m", "shortlist", "up", "--port", str(port), "--data", str(data))
        with bench.child("up", command) as up:
            await _until_ready(up, port)
            cold.append(await _p95_under_load(bench, port))
            warm.append(await _p95_under_load(bench, port))
        bench.say(f"startup, p95 of POST /job: cold {cold[-1]:.3f} s, warm {warm[-1]:.3f} s")
    return Figure(
        "startup_front_door",
        f"p95 of POST /job under {_USERS} users, from a cold start ÷ with workers running",
        "×",
        ratios(cold, warm),
        Target("at most", _FRONT_DOOR_AT_MOST),
        note=", ".join(
            f"{c * 1e3:.0f} ÷ {w * 1e3:.0f} ms" for c, w in zip(cold, warm, strict=True)
        ),
    )


async def _until_ready(up: Child, port: int) -> None:
    await asyncio.to_thread(wait_for_port, up, port, _READY_SECONDS)
    deadline = time.monotonic() + _READY_SECONDS
    async with httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=_READY_SECONDS
    ) as http:
        while time.monotonic() < deadline:
            up.must_run()
            if (await http.get("/readyz")).status_code == HTTPStatus.OK:
                return
            await asyncio.sleep(_PROBE_SECONDS)


async def _p95_under_load(bench: Bench, port: int) -> float:
    """Of a client of its own, which does nothing else, while the users do what they do."""
    url, seconds = f"http://127.0.0.1:{port}", bench.scale(15, 40)
    load = python(
        "-m", "shortlist", "simulate", "--url", url, "--clients", str(_USERS),
        "--seconds", str(seconds),
    )  # fmt: skip
    took: list[float] = []
    with bench.child("users", load) as users:
        async with httpx2.AsyncClient(base_url=url, timeout=30.0) as http:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                began = time.monotonic()
                await http.post("/job", json={"payload": "probe"})
                took.append(time.monotonic() - began)
                await asyncio.sleep(_PROBE_SECONDS)
        await asyncio.to_thread(users.wait, 60.0)
    return sorted(took)[int(_P95 * len(took))]
