"""A Redis that is another server has the epoch key, and may lack what came last."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import redis.exceptions as redis_errors

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.maintenance.agents.redis_loss import RedisLoss
from shortlist.storage import redis
from shortlist.storage.postgres.queries import claims
from shortlist.storage.redis import keys
from testkit.databases.switch import Switch
from testkit.databases.valkeys import Valkey, valkeys
from testkit.faults.unguarding import without
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from shortlist.domain.line.application import ApplicationId
    from shortlist.maintenance.agents.sweep import Sweep
    from shortlist.maintenance.context import LeaderContext

    from .conftest import Shop


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[list[Valkey]]:
    async with valkeys(tmp_path) as servers:
        yield servers


@pytest.fixture
async def name(pair: list[Valkey]) -> AsyncIterator[Switch]:
    async with Switch(pair[0].port) as name:
        yield name


@pytest.fixture
async def line_redis(name: Switch) -> AsyncIterator[redis.Redis]:
    """In place of the session's: one whose name can be moved."""
    client = redis.connect(f"redis://127.0.0.1:{name.port}/0", timeout_seconds=5)
    yield client
    await client.aclose()


async def what_the_replica_lacks_is_published(
    shop: Shop, desk: LeaderContext, sweep: Sweep, pair: list[Valkey], name: Switch
) -> None:
    old, new = pair
    memory = RedisLoss(desk)
    await memory.restore_if_lost(sweep)
    there = await shop.accept(3, publish=True)
    await new.has_all_of(old)
    await new.lead()
    lacking = await shop.accept(3, publish=True)
    await sweep.run()
    name.target = new.port
    shop.redis.connection_pool.leave()  # type: ignore[attr-defined] # as the watch does
    await memory.restore_if_lost(sweep)
    assert await shop.in_line() == [*there, *lacking], "not all"


async def test_what_a_new_primary_lacks_is_published_at_once_though_it_has_the_key(
    shop: Shop, desk: LeaderContext, sweep: Sweep, pair: list[Valkey], name: Switch
) -> None:
    await what_the_replica_lacks_is_published(shop, desk, sweep, pair, name)


async def test_off_switch_a_key_that_names_no_server_does_not_tell_a_new_primary(
    shop: Shop,
    desk: LeaderContext,
    sweep: Sweep,
    pair: list[Valkey],
    name: Switch,
) -> None:
    with without("epoch_of_a_server"), pytest.raises(AssertionError, match="not all"):
        await what_the_replica_lacks_is_published(shop, desk, sweep, pair, name)


async def set_an_hour_ahead(server: Valkey) -> None:
    """Have a stream's next positions be those of a server whose clock is an hour ahead."""
    milliseconds = int((time.time() + 3600) * 1000)
    stream = keys.again(DEFAULT_PIPELINE)
    entry = await server.ask("XADD", stream, f"{milliseconds}-0", "any", "entry")
    await server.ask("XDEL", stream, entry)


async def given_up(shop: Shop) -> ApplicationId:
    """One that a worker claimed, and ended without a score or an entry on the line."""
    worker = await shop.worker("perWrite")
    [claim] = await worker.claim(*await shop.accept(1))
    await claims.end_attempt(
        worker.connections[0], claim, DEFAULT_PIPELINE, worker.id,
        outcome="released", detail="", retry_seconds=None,
    )  # fmt: skip
    return claim.application_id


async def what_a_leader_put_back_on_a_server_with_another_clock_is_put_back_again(
    shop: Shop, desk: LeaderContext, sweep: Sweep, pair: list[Valkey], name: Switch
) -> None:
    """Positions of the old server say nothing of the new one, and may be ahead of it for hours."""
    old, new = pair
    memory = RedisLoss(desk)

    async def is_put_back() -> bool:
        with suppress(redis_errors.ConnectionError):  # the watch cuts off what the name has left
            await memory.restore_if_lost(sweep)
            await sweep.run()
            return put_back in await shop.in_again()
        return False

    await memory.restore_if_lost(sweep)
    await new.has_all_of(old)
    await new.lead()
    await set_an_hour_ahead(old)
    put_back = await given_up(shop)
    await until(is_put_back, within_seconds=10, what="it is put back on the old server")
    await sweep.run()  # and its position is known
    [waits] = await shop.accept(1)
    await new.ask("XADD", keys.again(DEFAULT_PIPELINE), "*", keys.ENTRY_ID, str(waits))
    name.target = new.port
    shop.redis.connection_pool.leave()  # type: ignore[attr-defined] # as the watch does
    await until(is_put_back, within_seconds=5, what="it is put back on the new server")


async def test_what_a_leader_put_back_on_a_server_with_another_clock_is_put_back_again(
    shop: Shop, desk: LeaderContext, sweep: Sweep, pair: list[Valkey], name: Switch
) -> None:
    await what_a_leader_put_back_on_a_server_with_another_clock_is_put_back_again(
        shop, desk, sweep, pair, name
    )


async def test_off_switch_a_leader_that_believes_another_server_s_positions_waits_for_its_clock(
    shop: Shop, desk: LeaderContext, sweep: Sweep, pair: list[Valkey], name: Switch
) -> None:
    with without("epoch_of_a_server"), pytest.raises(AssertionError, match="on the new server"):
        await what_a_leader_put_back_on_a_server_with_another_clock_is_put_back_again(
            shop, desk, sweep, pair, name
        )
