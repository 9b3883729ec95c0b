from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from shortlist.embedded.supervision import child as child_module
from shortlist.embedded.supervision.child import Child, Program, pause_seconds
from shortlist.embedded.supervision.memory_kills import MemoryKills
from testkit.processes.pod import pod
from testkit.processes.stack import without_guards
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path


SMALL_POD_BYTES = 128 << 20
"""More than a supervisor takes, less than `GREEDY` does."""


def program(directory: Path, code: str, **more: Any) -> Program:
    return Program(
        name="child",
        command=lambda: [sys.executable, "-c", code],
        log=directory / "child.log",
        **more,
    )


async def alive(child: Child) -> int:
    async def look() -> int | None:
        return child.pid if child.ready.is_set() else None

    pid = await until(look, within_seconds=20, what="the child runs")
    assert pid is not None
    return pid


async def test_a_killed_child_is_replaced(tmp_path: Path) -> None:
    told: list[str] = []
    child = Child(program(tmp_path, "import time; time.sleep(1000)"), told.append)
    child.start()
    first = await alive(child)
    os.kill(first, signal.SIGKILL)

    async def replaced() -> bool:
        return child.ready.is_set() and child.pid not in (first, None)

    await until(replaced, within_seconds=20, what="a successor")
    assert "it was ended by SIGKILL; see" in told[0]  # and no guess at who sent it
    await child.stop_now()
    assert not psutil.pid_exists(child.pid or first)


async def a_hung_child_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "_POLL_INTERVAL_SECONDS", 0.02)
    answers = True

    async def is_alive() -> bool:
        return answers

    told: list[str] = []
    child = Child(
        program(tmp_path, "import time; time.sleep(1000)", is_alive=is_alive), told.append
    )
    child.start()
    first = await alive(child)
    await asyncio.sleep(10 * child_module._POLL_INTERVAL_SECONDS)
    assert child.pid == first, "it answers, and is ended"
    answers = False

    async def replaced() -> bool:
        return child.pid not in (first, None)

    try:
        await until(replaced, within_seconds=5, what="a successor")
        assert told == [
            "child is started again: it did not answer any more; see " + str(child.program.log)
        ]
    finally:
        await child.stop_now()


async def test_a_hung_child_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_hung_child_is_replaced(tmp_path, monkeypatch)


async def test_off_switch_unwatched_a_hung_child_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        pass

    monkeypatch.setattr(Child, "_end_when_hung", never)
    with pytest.raises(AssertionError, match="a successor"):
        await a_hung_child_is_replaced(tmp_path, monkeypatch)


async def test_what_a_child_keeps_open_is_closed_when_it_has_ended_for_good(tmp_path: Path) -> None:
    closed: list[bool] = []
    child = Child(program(tmp_path, "pass", once=True, close=lambda: closed.append(True)))
    child.start()
    await asyncio.wait_for(child.finished(), 20)
    assert closed == [True]


GREEDY = "bytes(1) * (256 << 20)"
WATCH_ONE = f"""
import asyncio, pathlib, signal, sys
from shortlist.embedded.supervision.child import Child, Program
from shortlist.embedded.supervision.memory_kills import MemoryKills

async def main():
    program = Program("child", lambda: [sys.executable, "-c", {GREEDY!r}], pathlib.Path("log"))
    child = Child(program, print, MemoryKills().any_now)
    child.start()
    while not child.deaths:
        await asyncio.sleep(0.01)
    print(child.problem)
    await child.stop_now()

asyncio.run(main())
"""


def told_in_a_pod(directory: Path, pod_bytes: int, **environment: str) -> str:
    """What a supervisor in a pod of this size says of a child that takes too much."""
    with pod(pod_bytes) as its_pod:
        ended = subprocess.run(
            [sys.executable, "-c", WATCH_ONE],
            cwd=directory,
            env=dict(os.environ) | environment,
            preexec_fn=its_pod.enter,
            check=True,
            capture_output=True,
            text=True,
        )
        assert its_pod.kills(), "nothing was ended for memory, so this shows nothing"
    return ended.stdout


def test_an_end_for_want_of_memory_is_told_by_the_kernels_count(tmp_path: Path) -> None:
    assert "for want of memory" in told_in_a_pod(tmp_path, SMALL_POD_BYTES)


def test_off_switch_without_the_kernels_count_it_is_not_told(tmp_path: Path) -> None:
    off = without_guards("memory_kills")
    assert "for want of memory" not in told_in_a_pod(tmp_path, SMALL_POD_BYTES, **off)


def test_what_the_kernel_did_a_while_ago_explains_no_death_of_now() -> None:
    counts = [0]
    kills = MemoryKills(lambda: counts[0])
    counts[0] = 1
    kills.observe()
    assert kills.any_now()  # the death may be told after the look
    kills.observe()
    assert not kills.any_now()


async def test_a_child_that_cannot_run_is_tried_with_growing_pauses(tmp_path: Path) -> None:
    told: list[str] = []
    child = Child(program(tmp_path, "raise SystemExit('no luck')"), told.append)
    child.start()

    async def tried() -> bool:
        return child.deaths >= 3

    await until(tried, within_seconds=30, what="three tries")
    assert "no luck" in child.problem
    before = time.monotonic()
    await child.drain()  # also while it pauses
    assert time.monotonic() - before < 10


def test_pauses_grow_and_are_bounded() -> None:
    pauses = [pause_seconds(deaths) for deaths in range(1, 12)]
    assert pauses[:4] == [0.0, 0.25, 0.5, 1.0]
    assert pauses == sorted(pauses)
    assert pause_seconds(1_000_000) == pauses[-1] == 10.0


async def test_a_draining_child_gets_the_time_to_finish(tmp_path: Path) -> None:
    code = """
import signal, sys, time
def finish(*_):
    time.sleep(0.3); open('finished', 'w').close(); sys.exit(0)
signal.signal(signal.SIGTERM, finish)
print('up', flush=True)
time.sleep(1000)
""".replace("'finished'", repr(str(tmp_path / "finished")))
    log = tmp_path / "child.log"

    async def is_up() -> bool:
        return "up" in log.read_text()

    child = Child(program(tmp_path, code, is_ready=is_up))
    child.start()
    await alive(child)
    await child.drain()
    assert (tmp_path / "finished").exists()
    assert child.deaths == 0


async def test_a_drain_that_takes_too_long_is_cut_short(tmp_path: Path) -> None:
    code = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
time.sleep(1000)
"""
    log = tmp_path / "child.log"

    async def is_up() -> bool:
        return "up" in log.read_text()

    told: list[str] = []
    child = Child(program(tmp_path, code, is_ready=is_up, drain_seconds=0.2), told.append)
    child.start()
    await alive(child)
    await child.drain()
    assert child.pid is None
    assert "killed" in told[0]


async def test_a_program_for_once_is_done_when_it_ends_well(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "pass", once=True))
    child.start()
    await asyncio.wait_for(child.finished(), 20)
    assert child.deaths == 0


@pytest.mark.parametrize(
    "wrap", ["as_ordinary_user(['sleep', '1000'], os.geteuid())", "['sleep', '1000']"]
)
def test_what_is_tethered_dies_with_its_parent(tmp_path: Path, wrap: str) -> None:
    """Also inside a user namespace, where root's Postgres lives."""
    code = f"""
import os, subprocess, sys, time
from shortlist.embedded.servers.programs import as_ordinary_user, tethered
command = tethered({wrap})
print(subprocess.Popen(command).pid, flush=True)
time.sleep(1000)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert parent.stdout is not None
    orphan = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 20
    while orphan.name() != "sleep":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.communicate()
    _, left = psutil.wait_procs([orphan], timeout=20)
    assert not left
