"""Redis may become another server, while the old one stays: all is whole again in time.

Two real Valkeys, a primary and its replica, behind a name that comes to mean the replica.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.storage.redis import keys
from testkit.clients.browsers import Browsers
from testkit.clients.ledger import Ledger
from testkit.clients.lookouts import lookouts
from testkit.databases.switch import Switch
from testkit.databases.valkeys import Valkey, sentinels, valkeys
from testkit.faults.whole import (
    NOT_READY_SECONDS,
    WHOLE_AGAIN_SECONDS,
    everything,
    is_whole_in_time,
    says_the_truth,
)
from testkit.processes.stack import without_guards
from testkit.processes.up import running
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.processes.place import Running

SERVICE_SECONDS = 1.5
"""What the simulated scorer takes by default."""


async def fails_over(
    directory: Path, database_url: str, mode: str, how: str, *, unguarded: str = ""
) -> None:
    """The name comes to mean the replica; what the old primary does meanwhile is ``how``."""
    async with valkeys(directory) as (old, new), Switch(old.port) as name:
        url = f"redis://127.0.0.1:{name.port}/0"
        async with (
            everything(directory, database_url, url, mode, unguarded=unguarded) as run,
            lookouts(database_url, url),
            Browsers(run.ingest.url) as browsers,
        ):
            await new.has_all_of(old)
            if how == "demoted":
                await old.follow(new.port)  # each follows the other: neither takes writes
            elif how.startswith("frozen"):
                old.freeze()
            if how in {"demoted", "frozen for long"}:
                await says_the_truth(run, redis=False, within_seconds=NOT_READY_SECONDS)
            await watch_some(run, browsers)
            await new.lead()
            name.target = new.port
            await is_whole_in_time(run, browsers, new)
            if how == "left as it is":
                await old.is_left_alone(WHOLE_AGAIN_SECONDS)


async def watch_some(run: Running, browsers: Browsers) -> None:
    """Submit, and have it watched: while Redis is away that waits in Postgres."""
    before = set(run.ledger.accepted)
    await run.ledger.submit(10)
    await browsers.watch(run.ledger.accepted.keys() - before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("perJob", "demoted"),
        ("perJob", "frozen for long"),
        ("perJob", "left as it is"),
        ("perWrite", "demoted"),
        ("perWrite", "frozen"),
    ],
)
async def test_redis_fails_over(tmp_path: Path, database_url: str, mode: str, how: str) -> None:
    await fails_over(tmp_path, database_url, mode, how)


async def test_off_switch_a_connection_to_the_wrong_redis_that_is_kept_is_used_for_ever(
    tmp_path: Path, database_url: str
) -> None:
    with pytest.raises(AssertionError, match=r"not within|unfinished"):
        await fails_over(tmp_path, database_url, "perJob", "demoted", unguarded="redis_left")


async def test_off_switch_a_redis_that_nobody_looks_at_is_used_though_its_name_has_moved(
    tmp_path: Path, database_url: str
) -> None:
    with pytest.raises(AssertionError, match="not within"):
        await fails_over(
            tmp_path, database_url, "perJob", "left as it is", unguarded="server_watch"
        )


async def test_off_switch_readiness_that_only_pings_redis_does_not_see_a_replica(
    tmp_path: Path, database_url: str
) -> None:
    with pytest.raises(AssertionError, match=r"redis False|redis unreachable"):
        await fails_over(tmp_path, database_url, "perJob", "demoted", unguarded="redis_written")


async def sentinels_fail_over(directory: Path, database_url: str, mode: str, how: str) -> None:
    """The Sentinels find a new primary by themselves."""
    async with valkeys(directory) as (old, new), sentinels(directory, old) as ports:
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        url = f"redis+sentinel://{hosts}/line/0"
        async with (
            everything(directory, database_url, url, mode) as run,
            lookouts(database_url, url),
            Browsers(run.ingest.url) as browsers,
        ):
            await new.has_all_of(old)
            if how == "killed":
                old.kill()
            elif how == "frozen":
                old.freeze()
            else:
                await Valkey.ask_at(ports[0], "SENTINEL", "FAILOVER", "line")
            await watch_some(run, browsers)
            await new.leads()
            await all_name(new, ports)  # they tell each other every 2 s
            await is_whole_in_time(run, browsers, new)


async def all_name(primary: Valkey, sentinels: list[int]) -> None:
    """Wait until each Sentinel names it."""

    async def look() -> bool:
        command = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "line"
        named = [await Valkey.ask_at(port, *command) for port in sentinels]
        return all(int(port) == primary.port for _, port in named)

    await until(look, what="all Sentinels name the new primary")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "how"), [("perJob", "killed"), ("perWrite", "frozen"), ("perWrite", "asked to")]
)
async def test_with_sentinel(tmp_path: Path, database_url: str, mode: str, how: str) -> None:
    await sentinels_fail_over(tmp_path, database_url, mode, how)


async def up_s_redis_fails_over(
    directory: Path, database_url: str, how: str, *, unguarded: str = ""
) -> None:
    """`shortlist up` on servers that are not its own: its scaler goes on, and all its processes."""
    async with valkeys(directory) as (old, new), Switch(old.port) as name:
        url = f"redis://127.0.0.1:{name.port}/0"
        guards = without_guards(unguarded)
        servers = {"DATABASE_URL": database_url, "REDIS_URL": url}
        with running(directory, prefix=(), **servers, **guards) as up:
            async with Ledger(await up.ready(), database_url) as ledger:
                await ledger.submit(5)
                await ledger.settle()
                await new.has_all_of(old)
                if how == "demoted":
                    await old.follow(new.port)
                await new.lead()
                name.target = new.port
                since = time.monotonic()
                await ledger.submit(10)
                grants = keys.grants(DEFAULT_PIPELINE)
                await new.ask("DEL", grants)  # the scaler sees that there are none, and grants

                async def is_granted() -> bool:
                    return bool(await new.ask("HLEN", grants))

                left = WHOLE_AGAIN_SECONDS - (time.monotonic() - since)
                await asyncio.gather(
                    until(is_granted, within_seconds=left, what="the scaler grants connections"),
                    ledger.settle(within_seconds=left + SERVICE_SECONDS),
                )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["demoted", "left as it is"])
async def test_up_goes_on_when_its_redis_fails_over(
    tmp_path: Path, database_url: str, how: str
) -> None:
    await up_s_redis_fails_over(tmp_path, database_url, how)


@pytest.mark.slow
async def test_off_switch_without_the_watch_up_stays_with_the_old_server(
    tmp_path: Path, database_url: str
) -> None:
    with pytest.raises(AssertionError, match="not within"):
        await up_s_redis_fails_over(
            tmp_path, database_url, "left as it is", unguarded="server_watch"
        )
