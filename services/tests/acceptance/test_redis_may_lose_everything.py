"""Promises 1 and 4: Redis is a hint. It may forget, die, and come back; nothing is lost."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.line.application import ConnectionMode
from testkit.databases.servers import flush
from testkit.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.databases.servers import Servers
    from testkit.processes.place import Place

MODES = get_args(ConnectionMode)


async def flushed_under_load(
    place: Place, mode: str, *, settle_seconds: float = PATIENCE_SECONDS, **settings: object
) -> None:
    """Redis forgets everything three times while applications come in and wait."""
    async with place.running(
        "worker", "maintenance", connection_mode=mode, service_seconds=0.2, **settings
    ) as run:
        async with run.ledger.load(per_second=80):  # more than the worker's 50: a line builds up
            for _ in range(3):
                await run.ledger.until_scored(
                    await run.ledger.scored() + 20, within_seconds=settle_seconds
                )
                await flush(place.redis_url)
        assert set(run.ledger.answers) == {202}
        await run.ledger.settle(within_seconds=settle_seconds)


@pytest.mark.parametrize("mode", MODES)
async def test_flushall_under_load_loses_nothing(place: Place, mode: str) -> None:
    await flushed_under_load(place, mode)


async def test_off_switch_without_the_sweep_flushall_loses_what_waited(place: Place) -> None:
    with pytest.raises(AssertionError, match=r"^unfinished: "):
        await flushed_under_load(place, "perJob", settle_seconds=10, unguarded="sweep")


async def redis_away(
    place: Place,
    servers: Servers,
    mode: str,
    *,
    away_seconds: float,
    how: str = "stopped",
    settle_seconds: float = PATIENCE_SECONDS,
    **settings: object,
) -> None:
    """Redis is away for a while under load: accepting goes on, and all is published afterwards."""
    async with place.running(
        "worker", "maintenance", connection_mode=mode, service_seconds=0.05, **settings
    ) as run:
        async with run.ledger.load(per_second=50):
            await run.ledger.until_scored(20)
            before = len(run.ledger.accepted)
            async with _away(servers, how):
                await asyncio.sleep(away_seconds)  # the length of the outage
                during = len(run.ledger.accepted) - before
        assert set(run.ledger.answers) == {202}, f"refused: {run.ledger.answers}"
        assert during > 10 * away_seconds, f"only {during} accepted while Redis was away"
        await run.ledger.settle(within_seconds=settle_seconds)


@asynccontextmanager
async def _away(servers: Servers, how: str) -> AsyncIterator[None]:
    """Stopped in good order, killed, or there and silent."""
    if how == "hung":
        servers.freeze_redis()
        yield
        servers.thaw_redis()
    else:
        await servers.stop_redis(signal.SIGKILL if how == "killed" else signal.SIGTERM)
        yield
        await servers.start_redis()


@pytest.mark.parametrize(
    ("mode", "how"), [("perJob", "killed"), ("perWrite", "stopped"), ("perWrite", "hung")]
)
async def test_redis_away_under_load_does_not_stop_accepting(
    own_place: Place, servers: Servers, mode: str, how: str
) -> None:
    await redis_away(own_place, servers, mode, away_seconds=3, how=how)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "how"), [("perJob", "stopped"), ("perJob", "hung"), ("perWrite", "killed")]
)
async def test_redis_away_for_10_s_under_load_loses_nothing(
    own_place: Place, servers: Servers, mode: str, how: str
) -> None:
    await redis_away(own_place, servers, mode, away_seconds=10, how=how)


async def test_off_switch_without_the_sweep_what_came_while_redis_was_away_stays_undone(
    own_place: Place, servers: Servers
) -> None:
    with pytest.raises(AssertionError, match=r"^unfinished: "):
        await redis_away(
            own_place, servers, "perJob", away_seconds=3, settle_seconds=10, unguarded="sweep"
        )
