"""The watch of a server ends with the last connection, and leaves nothing open."""

from __future__ import annotations

import asyncio
import gc
import itertools
from typing import TYPE_CHECKING

import pytest
from redis import exceptions

from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.storage import postgres, redis
from shortlist.storage import watch as watch_module
from shortlist.storage.redis import connection_pool
from shortlist.storage.watch import PERIOD_SECONDS, QUERY_TIMEOUT_SECONDS, Sight, Watch
from testkit.databases.postgreses import Postgres
from testkit.databases.switch import Switch, pass_on
from testkit.databases.valkeys import valkeys
from testkit.processes.stack import free_port
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_NOTICED_SECONDS = PERIOD_SECONDS + QUERY_TIMEOUT_SECONDS + 0.5

_LOOPS = 60
_STEP_SECONDS = 0.00004
"""A look takes one or two milliseconds: the client is closed at every moment of one."""


async def _used_for(url: str, seconds: float) -> None:
    client = redis.connect(url)
    await client.ping()
    await asyncio.sleep(seconds)  # until somewhere in the first look
    await client.aclose()


async def a_read_that_waits_is_told(directory: Path) -> None:
    """A worker's pull waits for longer than the 5 s that are promised may last."""

    async def has_looked() -> bool:
        return any(one.seen is not None for one in watch_module._watches.values())

    async with valkeys(directory) as (old, new), Switch(old.port) as name:
        client = redis.connect(f"redis://127.0.0.1:{name.port}/0", timeout_seconds=60)
        try:
            waiting = asyncio.ensure_future(client.xread({"nothing": "$"}, block=30_000))
            await until(has_looked, what="the first look has met the old server")
            name.target = new.port
            done, _ = await asyncio.wait([waiting], timeout=_NOTICED_SECONDS)
            assert done, "it waits for the old server"
            assert isinstance(waiting.exception(), ConnectionError | exceptions.ConnectionError)
            assert await client.ping()
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])
            await client.aclose()


async def test_who_waits_for_a_server_that_is_another_now_waits_no_longer(tmp_path: Path) -> None:
    await a_read_that_waits_is_told(tmp_path)


async def test_off_switch_a_connection_that_is_only_marked_waits_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_pool, "_cut_off", lambda *_: None)
    with pytest.raises(AssertionError, match="it waits for the old server"):
        await a_read_that_waits_is_told(tmp_path)


def test_a_client_that_is_closed_in_the_middle_of_a_look_leaves_no_socket_open(
    tmp_path: Path,
) -> None:
    server = EmbeddedRedis(tmp_path, port=free_port())
    server.start()
    try:
        for number in range(_LOOPS):
            asyncio.run(_used_for(f"redis://127.0.0.1:{server.port}/0", number * _STEP_SECONDS))
        gc.collect()  # pytest fails the test that left a socket open
    finally:
        server.stop()


class _Connection:
    """Something that a watch tends."""


async def _left_after_a_first_look_that_failed() -> bool:
    looks = itertools.count()

    async def look() -> Sight:
        if next(looks) == 0:
            raise OSError("away")
        return Sight("new", writable=True)

    left = asyncio.Event()
    watch, connection = Watch("a server", look), _Connection()
    watch.tend(connection, lambda _: left.set())
    try:
        async with asyncio.timeout(2 * PERIOD_SECONDS + 1):
            await left.wait()
    except TimeoutError:
        return False
    finally:
        await watch.end(connection)
    return True


async def test_what_was_opened_before_the_first_look_that_met_a_server_is_left() -> None:
    """It may be of the server that did not answer that look."""
    assert await _left_after_a_first_look_that_failed()


async def test_off_switch_a_watch_that_learns_nothing_of_a_look_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shortlist.storage.watch._UNKNOWN", None)
    assert not await _left_after_a_first_look_that_failed()


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Postgres, Postgres]]:
    """Two servers that have the same data."""
    one, other = Postgres(tmp_path / "one"), Postgres(tmp_path / "other")
    try:
        await one.start()
        await one.copy_to(other, follows=False)
        await other.start()
        yield one, other
    finally:
        one.kill()
        other.kill()


def _leads_to(server: Postgres, path: Path) -> None:
    """Have a socket's path lead to a server's socket."""
    path.parent.mkdir(exist_ok=True)
    link = path.with_suffix(".new")
    link.symlink_to(server.socket)
    link.replace(path)


async def test_a_socket_that_leads_to_another_server_is_left(
    tmp_path: Path, two: tuple[Postgres, Postgres]
) -> None:
    one, other = two
    path = tmp_path / "s" / ".s.PGSQL.5432"
    _leads_to(one, path)
    url = f"postgresql://shortlist:{one.password}@/postgres?host={path.parent}"
    connection = await postgres.connect(url, application_name="shortlist-test", timeout_seconds=10)
    watch = watch_module._watches[url]

    async def has_looked() -> bool:
        return watch.seen is not None

    await until(has_looked, what="the watch knows the server")
    _leads_to(other, path)

    async def is_left() -> bool:
        return bool(connection.is_closed())

    await until(is_left, within_seconds=3, what="the connection to the old server is cut")
    again = await postgres.connect(url, application_name="shortlist-test", timeout_seconds=10)
    assert await again.fetchval("SHOW port") == str(other.port)
    await postgres.close_quickly(again)


class _LateSwitch(Switch):
    """Leads a client named `_LATE` to the target that it found, when a test lets it."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.is_there, self.may_go = asyncio.Event(), asyncio.Event()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target, head = self.target, await reader.read(65_536)
        reader.feed_data(head)
        if _LATE.encode() in head:
            self.is_there.set()
            await self.may_go.wait()
        await pass_on(reader, writer, target)


_LATE = "shortlist-late"


async def is_connected_late_to_the_new_server(one: Postgres, other: Postgres) -> None:
    """A connection is on its way to the old server while the watch meets the new one."""
    async with _LateSwitch(one.port) as name:
        where = f"127.0.0.1:{name.port}/postgres?sslmode=disable"
        url = f"postgresql://shortlist:{one.password}@{where}"
        first = await postgres.connect(url, application_name="shortlist-test", timeout_seconds=10)
        watch = watch_module._watches[url]

        async def has_looked() -> bool:
            return watch.seen is not None

        await until(has_looked, what="the watch knows the server")
        connecting = asyncio.create_task(
            postgres.connect(url, application_name=_LATE, timeout_seconds=30)
        )
        await name.is_there.wait()
        name.target = other.port

        async def is_left() -> bool:
            return bool(first.is_closed())

        await until(is_left, what="the watch has met the new server")
        name.may_go.set()
        try:
            late = await connecting
        except ConnectionError:
            return
        port = await late.fetchval("SHOW port")
        await postgres.close_quickly(late)
        assert port == str(other.port), "it is used, and of the old server"


async def test_a_connection_that_was_begun_before_the_server_changed_is_left(
    two: tuple[Postgres, Postgres],
) -> None:
    await is_connected_late_to_the_new_server(*two)


async def test_off_switch_it_is_used_for_ever(
    two: tuple[Postgres, Postgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "changes", 0)
    with pytest.raises(AssertionError, match="of the old server"):
        await is_connected_late_to_the_new_server(*two)


async def test_only_the_own_server_of_up_is_not_looked_at(database_url: str) -> None:
    """A look costs some milliseconds each second, and it is one server and no other."""
    connection = await postgres.connect(database_url, application_name="test")
    assert database_url not in watch_module._watches
    any_server = "&target_session_attrs=any"
    assert any_server in database_url
    watched_url = database_url.replace(any_server, "")
    watched = await postgres.connect(watched_url, application_name="test")
    assert watched_url in watch_module._watches
    for one in (connection, watched):
        await postgres.close_quickly(one)
