from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.maintenance.agents import consumers
from shortlist.maintenance.agents.consumers import Consumers
from shortlist.storage.redis import heartbeats
from shortlist.storage.redis.heartbeats import Grant

if TYPE_CHECKING:
    from integration.maintenance.conftest import Shop
    from shortlist.maintenance.agents.sweep import Sweeps
    from shortlist.maintenance.context import LeaderContext

SHORT = 0.2


@pytest.fixture
def agent(desk: LeaderContext, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> Consumers:
    """One that waits for tenths of seconds where it would wait for many."""
    monkeypatch.setattr(consumers, "_GONE_SECONDS", SHORT)
    monkeypatch.setattr(consumers, "_SETTLED_SECONDS", SHORT)
    return Consumers(desk, sweeps)


async def test_a_reader_that_nobody_knows_is_dropped_and_what_it_was_given_is_put_back(
    shop: Shop, agent: Consumers
) -> None:
    given = await shop.accept(2, publish=True)
    await shop.line.pull(str(uuid4()), 2, 0.01)
    await agent.turn()
    assert len(await shop.line.consumers(shop.line.line)) == 1  # it may have just been started
    await asyncio.sleep(SHORT + 0.1)
    await agent.turn()
    assert await shop.line.consumers(shop.line.line) == []
    assert await shop.in_again() == given
    assert await shop.in_line() == []


async def test_a_registered_reader_is_kept_however_long_it_is_silent(
    shop: Shop, agent: Consumers
) -> None:
    worker = await shop.worker()
    given = await shop.accept(1, publish=True)
    await shop.line.pull(str(worker.id), 1, 0.01)
    await asyncio.sleep(SHORT + 0.1)
    await agent.turn()
    assert [c.name for c in await shop.line.consumers(shop.line.line)] == [str(worker.id)]
    assert await shop.in_line() == given


async def test_entries_whose_acknowledgement_got_lost_do_not_stay(
    shop: Shop, agent: Consumers
) -> None:
    worker = await shop.worker()
    finished, unfinished, removed = await shop.accept(3, publish=True)
    await shop.line.pull(str(worker.id), 3, 0.01)
    await shop.finish(finished)
    await shop.db.execute("DELETE FROM applications WHERE id = $1", removed)
    await agent.turn()
    assert len(await shop.in_line()) == 3  # they may be acknowledged yet
    await asyncio.sleep(SHORT + 0.1)
    await agent.turn()
    assert await shop.in_line() == [unfinished]


async def test_reports_of_workers_that_nobody_knows_are_dropped(
    shop: Shop, agent: Consumers
) -> None:
    worker = await shop.worker()
    known, unknown = str(worker.id), str(uuid4())
    grants = {known: Grant(1, 2), unknown: Grant(1, 2)}
    await heartbeats.publish_grants(shop.redis, DEFAULT_PIPELINE, grants)
    await heartbeats.set_draining(shop.redis, DEFAULT_PIPELINE, {known, unknown})
    await agent.turn()
    await asyncio.sleep(SHORT + 0.1)
    assert await heartbeats.mentioned(shop.redis, DEFAULT_PIPELINE) == {known, unknown}
    await agent.turn()
    assert await heartbeats.mentioned(shop.redis, DEFAULT_PIPELINE) == {known}
