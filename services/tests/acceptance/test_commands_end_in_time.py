"""A command whose server is away, or hangs, says so in one sentence and ends: within ten seconds.

Two of them are the start of Python; the rest is `storage.silence` and `reachable`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from shortlist.storage import migrate, postgres
from support.stack import without_guards
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shortlist.storage.postgres import Connection
    from support.servers import Servers

ENDED_SECONDS = 10.0

AT_POSTGRES = [("migrate",), ("requeue", "--all-failed"), ("requeue", "{id}")]
AT_INGEST = [("demo",), ("simulate", "--rounds", "1", "--clients", "1")]
AN_ID = "01900000-0000-7000-8000-000000000000"

BLOCKED = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = ANY('{shortlist-migrate,shortlist-requeue}') AND wait_event_type = 'Lock'
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and after how long."""

    code: int
    said: str
    seconds: float


class Command:
    """``shortlist …``, running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.began_at = time.monotonic()

    @classmethod
    async def start(cls, *arguments: str, unguarded: str = "", **environment: str) -> Command:
        ours = {k: v for k, v in os.environ.items() if not k.startswith("SHORTLIST_")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shortlist",
            *(argument.format(id=AN_ID) for argument in arguments),
            env=ours | environment | without_guards(unguarded),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def ended(self, *, since: float | None = None) -> Ended:
        """Wait for its end, which comes within `ENDED_SECONDS`."""
        since = since or self.began_at
        try:
            async with asyncio.timeout(since + ENDED_SECONDS - time.monotonic()):
                _, said = await self.process.communicate()
        except TimeoutError:
            raise AssertionError(f"it goes on after {ENDED_SECONDS} s") from None
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()
        assert self.process.returncode is not None
        return Ended(self.process.returncode, said.decode(), time.monotonic() - since)


def says_so(ended: Ended, *words: str) -> None:
    sentences = [line for line in ended.said.splitlines() if not line.startswith("guard switched")]
    assert ended.code == 1, ended
    assert len(sentences) == 1, ended
    assert sentences[0].startswith("shortlist: ")
    assert all(word in sentences[0] for word in words), ended


@pytest.mark.parametrize("command", AT_POSTGRES, ids=" ".join)
async def test_a_postgres_that_is_away_is_told(command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    running = await Command.start(*command, DATABASE_URL=f"postgresql://x@127.0.0.1:{port}/x")
    says_so(await running.ended(), "Postgres at DATABASE_URL cannot be ")


@contextmanager
def mute() -> Iterator[int]:
    """The port of a server that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("command", AT_POSTGRES, ids=" ".join)
async def test_a_postgres_that_hangs_is_told(command: tuple[str, ...]) -> None:
    with mute() as port:
        running = await Command.start(*command, DATABASE_URL=f"postgresql://x@127.0.0.1:{port}/x")
        says_so(await running.ended(), "Postgres at DATABASE_URL cannot be ", "does not answer")


async def hangs_in_the_middle(
    servers: Servers, command: tuple[str, ...], *, unguarded: str = ""
) -> None:
    """It waits for a lock, which may take as long as it likes; then the server stops."""
    url = servers.postgres.url
    holder = await postgres.connect(url, application_name="test", timeout_seconds=10)
    await holder.execute("SELECT pg_advisory_lock($1)", migrate._MIGRATION_LOCK)
    await holder.execute("BEGIN; LOCK TABLE results IN ACCESS EXCLUSIVE MODE")
    running = await Command.start(*command, DATABASE_URL=url, unguarded=unguarded)
    await waits(holder)
    servers.freeze_postgres()
    try:
        ended = await running.ended(since=time.monotonic())
    finally:
        servers.thaw_postgres()
        holder.terminate()
    says_so(ended, "Postgres at DATABASE_URL cannot be ", "does not answer")


async def waits(connection: Connection) -> None:
    async def look() -> bool:
        return bool(await connection.fetchval(BLOCKED))

    await until(look, what="the command waits for a lock")


@pytest.mark.parametrize("command", AT_POSTGRES, ids=" ".join)
async def test_a_postgres_that_hangs_in_the_middle_is_told(
    servers: Servers, command: tuple[str, ...]
) -> None:
    await hangs_in_the_middle(servers, command)


@pytest.mark.parametrize("command", AT_POSTGRES[:2], ids=" ".join)
async def test_off_switch_of_the_silence(servers: Servers, command: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="it goes on after"):
        await hangs_in_the_middle(servers, command, unguarded="silence")


@pytest.mark.parametrize("command", AT_INGEST, ids=" ".join)
async def test_an_ingest_that_is_away_or_hangs_is_told(command: tuple[str, ...]) -> None:
    with mute() as port:
        running = await Command.start(*command, "--url", f"http://127.0.0.1:{port}")
        says_so(await running.ended(), "Nothing answers at ")
    running = await Command.start(*command, "--url", f"http://127.0.0.1:{port}")
    says_so(await running.ended(), "Nothing answers at ")


@pytest.mark.parametrize("command", AT_INGEST, ids=" ".join)
async def test_off_switch_of_the_first_answer(command: tuple[str, ...]) -> None:
    with mute() as port:
        running = await Command.start(
            *command, "--url", f"http://127.0.0.1:{port}", unguarded="first_answer"
        )
        with pytest.raises(AssertionError, match="it goes on after"):
            await running.ended()


async def test_settings_asks_no_server() -> None:
    with mute() as port:
        urls = {
            "DATABASE_URL": f"postgresql://x@127.0.0.1:{port}/x",
            "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        }
        assert (await (await Command.start("settings", **urls)).ended()).code == 0
