"""A command whose server is away, or hangs, says so in one sentence and ends.

Within fifteen seconds, from when it first speaks to the server or from when that begins to hang: 12
by `storage.silence`, 5 by `reachable`, and the end of Python.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import pytest

from shortlist.storage import postgres
from shortlist.storage.postgres import migrate
from testkit.processes.stack import without_guards
from testkit.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.databases.servers import Servers

ENDED_SECONDS = 15.0
CANNOT = "Postgres at DATABASE_URL cannot be "

AT_POSTGRES = [("migrate",), ("requeue", "--all-failed"), ("requeue", "{id}")]
OF_HIRING = [("keys", "list"), ("audit", "verify"), ("seed",), ("seed", "--large")]
AT_INGEST = [("demo",), ("simulate", "--rounds", "1", "--clients", "1")]
AN_ID = "01900000-0000-7000-8000-000000000000"

BLOCKED = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = ANY('{shortlist-migrate,shortlist-requeue}') AND wait_event_type = 'Lock'
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    said: str


class Command:
    """``shortlist …``, running; an async context manager."""

    def __init__(self, *arguments: str, unguarded: str = "", **environment: str) -> None:
        self._arguments = [argument.format(id=AN_ID) for argument in arguments]
        ours = {k: v for k, v in os.environ.items() if not k.startswith("SHORTLIST_")}
        self._environment = ours | environment | without_guards(unguarded)

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shortlist",
            *self._arguments,
            env=self._environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def ended(self, within_seconds: float = ENDED_SECONDS) -> Ended:
        """Wait for its end."""
        try:
            async with asyncio.timeout(within_seconds):
                _, said = await self._process.communicate()
        except TimeoutError:
            raise AssertionError(f"it goes on after {within_seconds} s") from None
        assert self._process.returncode is not None
        return Ended(self._process.returncode, said.decode())


def says_so(ended: Ended, *words: str) -> None:
    sentences = [line for line in ended.said.splitlines() if not line.startswith("guard switched")]
    assert ended.code == 1, ended
    assert len(sentences) == 1, ended
    assert sentences[0].startswith("shortlist: ")
    assert all(word in sentences[0] for word in words), ended


@dataclass
class Mute:
    """A server that accepts connections and never says anything."""

    port: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.called.set()
        await reader.read()  # until the other side hangs up
        writer.close()


@asynccontextmanager
async def mute() -> AsyncIterator[Mute]:
    found = Mute()
    server = await asyncio.start_server(found.hear, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()


def nowhere() -> str:
    """A port on which no process listens, as a place."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("command", [*AT_POSTGRES, *OF_HIRING], ids=" ".join)
async def test_a_postgres_that_is_away_is_told(command: tuple[str, ...]) -> None:
    async with Command(*command, DATABASE_URL=f"postgresql://x@{nowhere()}/x") as running:
        says_so(await running.ended(PATIENCE_SECONDS), CANNOT)


@pytest.mark.parametrize("command", [*AT_POSTGRES, *OF_HIRING], ids=" ".join)
async def test_a_postgres_that_hangs_is_told(command: tuple[str, ...]) -> None:
    async with mute() as server:
        url = f"postgresql://x@127.0.0.1:{server.port}/x"
        async with Command(*command, DATABASE_URL=url) as running:
            await asyncio.wait_for(server.called.wait(), PATIENCE_SECONDS)
            says_so(await running.ended(), CANNOT, "does not answer")


async def hangs_in_the_middle(
    servers: Servers, command: tuple[str, ...], *, unguarded: str = ""
) -> None:
    """It waits for a lock, which may take as long as it likes; then the server stops."""
    url = servers.postgres.url
    holder, watcher = [
        await postgres.connect(url, application_name="test", timeout_seconds=10) for _ in range(2)
    ]
    await holder.execute(f"SELECT pg_advisory_lock({migrate._MIGRATION_LOCK})")
    await holder.execute("BEGIN; LOCK TABLE results IN ACCESS EXCLUSIVE MODE")
    async with Command(*command, DATABASE_URL=url, unguarded=unguarded) as running:

        async def waits() -> bool:
            return bool(await watcher.fetchval(BLOCKED))

        await until(waits, what="the command waits for a lock")
        servers.freeze_postgres()
        try:
            ended = await running.ended()
        finally:
            servers.thaw_postgres()
            for connection in (holder, watcher):
                connection.terminate()
    says_so(ended, CANNOT, "does not answer")


@pytest.mark.slow
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
async def test_an_ingest_that_is_away_is_told(command: tuple[str, ...]) -> None:
    async with Command(*command, "--url", f"http://{nowhere()}") as running:
        says_so(await running.ended(PATIENCE_SECONDS), "Nothing answers at ")


async def an_ingest_hangs(command: tuple[str, ...], unguarded: str = "") -> None:
    async with mute() as server:
        url = f"http://127.0.0.1:{server.port}"
        async with Command(*command, "--url", url, unguarded=unguarded) as running:
            await asyncio.wait_for(server.called.wait(), PATIENCE_SECONDS)
            says_so(await running.ended(), "Nothing answers at ")


@pytest.mark.parametrize("command", AT_INGEST, ids=" ".join)
async def test_an_ingest_that_hangs_is_told(command: tuple[str, ...]) -> None:
    await an_ingest_hangs(command)


@pytest.mark.parametrize("command", AT_INGEST, ids=" ".join)
async def test_off_switch_of_the_first_answer(command: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError, match="it goes on after"):
        await an_ingest_hangs(command, unguarded="first_answer")


async def test_settings_asks_no_server() -> None:
    async with mute() as server:
        place = f"127.0.0.1:{server.port}"
        urls = {"DATABASE_URL": f"postgresql://x@{place}/x", "REDIS_URL": f"redis://{place}/0"}
        async with Command("settings", **urls) as running:
            assert (await running.ended(PATIENCE_SECONDS)).code == 0
        assert not server.called.is_set()
