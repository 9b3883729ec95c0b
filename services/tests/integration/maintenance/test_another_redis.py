"""A Redis that is another server has the epoch key, and may lack what came last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.maintenance.agents.redis_loss import RedisLoss
from shortlist.storage import redis
from shortlist.storage.redis import generation
from testkit.databases.switch import Switch
from testkit.databases.valkeys import Valkey, valkeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generation, "_READ", "return {redis.call('GET', KEYS[1]) or '', ''}")
    with pytest.raises(AssertionError, match="not all"):
        await what_the_replica_lacks_is_published(shop, desk, sweep, pair, name)
