"""Redis may come back as it was a while ago: nothing is lost, doubled or stuck."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, ConnectionMode
from shortlist.storage.redis import keys
from testkit.clients.browsers import Browsers
from testkit.clients.lookouts import lookouts
from testkit.databases.valkeys import Valkey, valkeys
from testkit.faults.whole import everything, is_whole_in_time
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.processes.place import Running

MODES = get_args(ConnectionMode)

_EMPTY_SECONDS = 30.0
"""Readers that are gone are found every 5 s, once they have asked for nothing for 10 s."""


async def an_old_snapshot_is_restored(
    directory: Path, database_url: str, mode: str, *, unguarded: str = ""
) -> None:
    """The snapshot has entries of what is finished since, and lacks what came last."""
    async with (
        valkeys(directory, 1) as (server,),
        everything(directory, database_url, server.url, mode, unguarded=unguarded) as run,
        lookouts(database_url, server.url),
        Browsers(run.ingest.url) as browsers,
    ):
        await take_snapshot_in_the_middle(run, server, directory / "old.rdb")
        await run.ledger.settle()
        run.others[0].freeze()
        before = set(run.ledger.accepted)
        await run.ledger.submit(15)  # in the line, of which the snapshot knows nothing
        await browsers.watch(run.ledger.accepted.keys() - before)
        server.kill()
        shutil.copy(directory / "old.rdb", server.snapshot)
        await server.start()
        run.others[0].thaw()
        await is_whole_in_time(run, browsers, server)
        await is_empty(server)


async def take_snapshot_in_the_middle(run: Running, server: Valkey, copy: Path) -> None:
    """Entries wait; others were given to a worker that is gone when this is restored."""
    run.others[0].freeze()
    await run.ledger.submit(15)
    dead = "a-worker-that-is-gone"
    line = keys.line(DEFAULT_PIPELINE)
    await server.ask("XREADGROUP", "GROUP", keys.GROUP, dead, "COUNT", 5, "STREAMS", line, ">")
    await server.ask("SAVE")
    shutil.copy(server.snapshot, copy)
    await server.ask("XGROUP", "DELCONSUMER", line, keys.GROUP, dead)
    run.others[0].thaw()


async def is_empty(server: Valkey) -> None:
    """No entry is left, delivered or not: all of it is finished."""

    async def look() -> bool:
        streams = keys.line(DEFAULT_PIPELINE), keys.again(DEFAULT_PIPELINE)
        lengths = [await server.ask("XLEN", stream) for stream in streams]
        pending = [await server.ask("XPENDING", stream, keys.GROUP) for stream in streams]
        return not sum(lengths) and not sum(int(p["pending"]) for p in pending)

    await until(look, within_seconds=_EMPTY_SECONDS, what="the line is empty")


@pytest.mark.slow
@pytest.mark.quiet
@pytest.mark.parametrize("mode", MODES)
async def test_an_old_snapshot_is_restored(tmp_path: Path, database_url: str, mode: str) -> None:
    await an_old_snapshot_is_restored(tmp_path, database_url, mode)
