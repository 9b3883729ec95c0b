"""Redis may become another server, while the old one stays: all is whole again in time.

Two real Valkeys, a primary and its replica, behind a name that comes to mean the replica.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.application import ConnectionMode
from support.switch import Switch
from support.valkeys import Valkey, sentinels, valkeys
from support.whole import WHOLE_AGAIN_SECONDS, everything, is_whole, says_the_truth

if TYPE_CHECKING:
    from pathlib import Path

MODES = get_args(ConnectionMode)


async def fails_over(
    directory: Path, database_url: str, mode: str, how: str, *, unguarded: str = ""
) -> None:
    """The name comes to mean the replica; what the old primary does meanwhile is ``how``."""
    async with (
        valkeys(directory) as (old, new),
        Switch(old.port) as name,
        everything(
            directory, database_url, f"redis://127.0.0.1:{name.port}/0", mode, unguarded=unguarded
        ) as run,
    ):
        await new.has_all_of(old)
        if how == "demoted":
            await old.follow(new.port)  # each follows the other: nobody takes writes
            await says_the_truth(run, redis=False)
            await run.ledger.submit(10)  # waits in Postgres meanwhile
        elif how == "frozen":
            old.freeze()
        await new.lead()
        name.target = new.port
        await says_the_truth(run)
        await is_whole(run)
        if how == "left as it is":
            await old.is_left_alone(WHOLE_AGAIN_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["demoted", "frozen", "left as it is"])
@pytest.mark.parametrize("mode", MODES)
async def test_redis_fails_over(tmp_path: Path, database_url: str, mode: str, how: str) -> None:
    await fails_over(tmp_path, database_url, mode, how)


async def test_off_switch_a_connection_to_the_wrong_redis_that_is_kept_is_used_for_ever(
    tmp_path: Path, database_url: str
) -> None:
    with pytest.raises(AssertionError, match=r"redis True|redis ok"):
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
        async with everything(directory, database_url, url, mode) as run:
            await new.has_all_of(old)
            if how == "killed":
                old.kill()
            elif how == "frozen":
                old.freeze()
            else:
                await Valkey.ask_at(ports[0], "SENTINEL", "FAILOVER", "line")
            await new.leads()
            await says_the_truth(run)
            await is_whole(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "how"), [("perJob", "killed"), ("perWrite", "frozen"), ("perWrite", "asked to")]
)
async def test_with_sentinel(tmp_path: Path, database_url: str, mode: str, how: str) -> None:
    await sentinels_fail_over(tmp_path, database_url, mode, how)
