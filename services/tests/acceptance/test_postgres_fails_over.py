"""Postgres may become another server, while the old one stays: all is whole again in time.

Two real ones, a primary and its standby, behind a name that comes to mean the standby.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.application import ConnectionMode
from shortlist.storage import migrate
from support.postgreses import postgreses
from support.switch import Switch
from support.whole import WHOLE_AGAIN_SECONDS, everything, is_whole, says_the_truth

if TYPE_CHECKING:
    from pathlib import Path

MODES = get_args(ConnectionMode)

UNDER_WAY = 30
"""Applications that wait or are being scored when it happens."""


async def fails_over(
    directory: Path, redis_url: str, mode: str, how: str, *, unguarded: str = ""
) -> None:
    """The name comes to mean the standby; what the old primary does meanwhile is ``how``."""
    async with postgreses(directory) as (old, new), Switch(old.port) as name:
        await migrate.migrate(old.url())
        async with everything(
            directory, old.url(name.port), redis_url, mode, unguarded=unguarded
        ) as run:
            await run.ledger.submit(UNDER_WAY)
            await new.has_all_of(old)
            if how == "read-only":
                await old.take_no_writes()
                await says_the_truth(run, postgres=False)
                await new.has_all_of(old)
            elif how == "frozen":
                old.freeze()
            elif how == "killed":
                old.kill()
            await new.lead()
            name.target = new.port
            if how == "left as it is":
                await old.is_left_alone(WHOLE_AGAIN_SECONDS)
            await says_the_truth(run)
            await is_whole(run)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen", "read-only", "left as it is"])
@pytest.mark.parametrize("mode", MODES)
async def test_postgres_fails_over(tmp_path: Path, redis_url: str, mode: str, how: str) -> None:
    await fails_over(tmp_path, redis_url, mode, how)


async def test_off_switch_attempts_whose_end_postgres_forgot_stay_under_way(
    tmp_path: Path, redis_url: str
) -> None:
    with pytest.raises(AssertionError, match="unfinished: "):
        await fails_over(tmp_path, redis_url, "perWrite", "left as it is", unguarded="disown")


async def test_off_switch_a_postgres_that_nobody_looks_at_is_used_though_its_name_has_moved(
    tmp_path: Path, redis_url: str
) -> None:
    with pytest.raises(AssertionError, match="the old server is used no more"):
        await fails_over(tmp_path, redis_url, "perJob", "left as it is", unguarded="server_watch")
