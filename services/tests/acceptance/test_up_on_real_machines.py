"""`shortlist up` where machines are odd: as the first process of a container, with files closed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import aiohttp
import psutil
import pytest

from testkit.processes.pod import pod
from testkit.processes.stack import without_guards
from testkit.processes.up import running
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.processes.up import Up

pytestmark = pytest.mark.timeout(300)

SMALL_SHM = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$0" "$@"'
AS_FIRST_PROCESS = (
    "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", SMALL_SHM
)  # fmt: skip
"""And with hardly any /dev/shm."""

CLOSED = 'exec "$0" "$@" <&- >&- 2>&-'
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, or user namespaces")


async def submit(url: str) -> int:
    async with (
        aiohttp.ClientSession(url) as session,
        session.post("/applications", json={"candidate": "Ada", "payload": "x"}) as answer,
    ):
        return answer.status


def first_process(up: Up) -> psutil.Process:
    """The process that is number 1 in there: unshare's only child."""
    (child,) = psutil.Process(up.process.pid).children()
    return child


async def kill_postgres(up: Up) -> None:
    """What it leaves behind becomes the first process's."""
    descendants = psutil.Process(up.process.pid).children(recursive=True)
    postmaster = next(
        p
        for p in descendants
        if p.name() == "postgres" and p.parent().name() != "postgres"  # type: ignore[union-attr]
    )
    left = postmaster.children()
    assert left
    postmaster.kill()
    await up.said("postgres is started again")


def dead(process: psutil.Process) -> list[psutil.Process]:
    """Children whose end was never asked for."""
    return [p for p in process.children(recursive=True) if p.status() == psutil.STATUS_ZOMBIE]


@needs_root
async def test_as_a_containers_first_process_it_buries_the_dead_and_drains(tmp_path: Path) -> None:
    with running(tmp_path, "--host", "0.0.0.0", prefix=AS_FIRST_PROCESS) as up:
        url = await up.ready()
        assert await submit(url) == 202
        await up.said("open to the network, without authentication")
        await kill_postgres(up)
        first = first_process(up)

        async def buried() -> bool:
            return not dead(first)

        await until(buried, within_seconds=60, what="no dead child is left")
        os.kill(first.pid, signal.SIGTERM)
        assert await up.ended() == 0
        assert "Drained" in up.output


@needs_root
async def test_off_switch_a_first_process_that_works_itself_leaves_the_dead(tmp_path: Path) -> None:
    environment = without_guards("stand_aside")
    with running(tmp_path, prefix=AS_FIRST_PROCESS, **environment) as up:
        await up.ready()
        await kill_postgres(up)
        await submit(up.url)
        assert dead(first_process(up))


async def test_with_standard_files_closed_it_serves(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "0", prefix=("/bin/sh", "-c", CLOSED)) as up:
        log = up.data / "logs" / "up.log"

        async def look() -> str | None:
            found = re.search(r"Ready at (\S+)", log.read_text()) if log.exists() else None
            return found and found[1]

        url = await until(look, within_seconds=120, what="it is ready")
        assert url is not None
        assert await submit(url) == 202
        up.interrupt()
        assert await up.ended() == 0


def _number_of_a_new_file(environment: dict[str, str]) -> int:
    """Of a process that was started with none open."""
    code = "from shortlist.cli.main import open_standard_files; open_standard_files(); "
    code += "import os; os._exit(os.open('/', os.O_RDONLY))"
    ended = subprocess.run(
        ["/bin/sh", "-c", CLOSED, sys.executable, "-c", code], check=False, env=environment
    )
    return ended.returncode


def test_closed_standard_files_are_nobody_elses() -> None:
    assert _number_of_a_new_file(dict(os.environ)) == 3


def test_off_switch_the_next_file_would_be_standard_input() -> None:
    assert _number_of_a_new_file(without_guards("standard_files")) == 0


SMALL_POD_BYTES = 512 << 20


async def test_in_a_small_pod_nothing_is_ended_for_want_of_memory(tmp_path: Path) -> None:
    with pod(SMALL_POD_BYTES) as its_pod:
        assert its_pod.cgroup is not None, "a cgroup has to be made: run this as root"
        with running(tmp_path, prefix=its_pod.prefix) as up:
            await up.ready()
            await up.said("limited by memory")
            await serve_a_rush(up)
            assert not its_pod.kills(), up.output
            up.interrupt()
            assert await up.ended() == 0
        assert not its_pod.kills(), up.output
        assert "is started again" not in up.output


SERVED_SECONDS = 45.0
"""In which a rush is served where there is memory for it."""


async def test_in_a_small_pod_more_workers_than_it_holds_are_not_started(tmp_path: Path) -> None:
    assert await is_served_in_a_small_pod(tmp_path)


async def test_off_switch_without_the_bound_by_memory_they_are_ended_or_starve(
    tmp_path: Path,
) -> None:
    """They starve where code is read again and again, which the kernel takes for no want."""
    assert not await is_served_in_a_small_pod(tmp_path, **without_guards("memory_bound"))


async def is_served_in_a_small_pod(tmp_path: Path, **environment: str) -> bool:
    """Whether a rush is served in time by an ``up`` of 12 workers, and none is killed."""
    with pod(SMALL_POD_BYTES) as its_pod:
        assert its_pod.cgroup is not None, "a cgroup has to be made: run this as root"
        with running(tmp_path, "--workers", "12", prefix=its_pod.prefix, **environment) as up:
            await up.ready()
            try:
                async with asyncio.timeout(SERVED_SECONDS):
                    while not await is_served(up):
                        await asyncio.sleep(1)
            except TimeoutError:
                return False
            return not its_pod.kills()


async def is_served(up: Up) -> bool:
    try:
        await serve_a_rush(up)
    except (AssertionError, aiohttp.ClientError):
        return False
    return True


async def serve_a_rush(up: Up) -> None:
    """Submit a good deal, look at a page, and wait until all of it is scored."""
    async with aiohttp.ClientSession(up.url) as session:

        async def submitted() -> str:
            body = {"candidate": "Ada", "payload": "x"}
            async with session.post("/applications", json=body) as answer:
                assert answer.status == 202
                return str((await answer.json())["id"])

        ids = await asyncio.gather(*(submitted() for _ in range(200)))
        await up.page()
        for one in ids:

            async def scored(one: str = one) -> bool:
                async with session.head(f"/applications/{one}") as answer:
                    return answer.status == 200

            await until(scored, within_seconds=120, what="all are scored")
