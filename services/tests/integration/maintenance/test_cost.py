"""What the sweep costs depends on what is unfinished, not on what the tables hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE, ApplicationId
from shortlist.domain.line.suspicion import CONVICTED_AFTER
from shortlist.domain.line.sweep import EVERYTHING, NOTHING
from shortlist.maintenance.main import connect
from shortlist.storage import postgres
from shortlist.storage.postgres.statements import SQL

from .conftest import old_snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from shortlist.settings import Settings
    from shortlist.storage.postgres import Connection

    from .conftest import Shop

FIRST = {"up_to": EVERYTHING, "claimed_above": EVERYTHING, "limit": 1000}
BIG = {"applications", "attempts", "results", "retries", "audit_log"}


@pytest.fixture
async def leader(make_settings: Callable[..., Settings]) -> AsyncIterator[Connection]:
    connection = await connect(make_settings())
    yield connection
    await postgres.close_quickly(connection)


async def fill(shop: Shop, count: int) -> list[ApplicationId]:
    """Finished applications, and statistics that know of none of them."""
    ids: list[ApplicationId] = []
    for _ in range(count // 1000):
        some = await shop.accept(1000)
        await shop.db.execute(
            "INSERT INTO attempts (application_id, attempt, worker_id) "
            "SELECT id, 1, $2 FROM unnest($1::uuid[]) id",
            some,
            uuid4(),
        )
        await shop.db.execute(
            "INSERT INTO results (application_id, attempt, pipeline, status, score) "
            "SELECT id, 1, 'default', 'scored', 1 FROM unnest($1::uuid[]) id",
            some,
        )
        ids += some
    return ids


async def explained(leader: Connection, name: str, **arguments: Any) -> dict[str, Any]:
    statement = SQL[name]
    text = await leader.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}", *statement.values(arguments)
    )
    plan: dict[str, Any] = json.loads(text)[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans(plan: dict[str, Any]) -> set[str]:
    """How the big tables are read."""
    return {n["Node Type"] for n in nodes(plan) if n.get("Relation Name") in BIG}


def blocks(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_it_probes_primary_keys_whatever_the_statistics_say(
    shop: Shop, leader: Connection
) -> None:
    await shop.db.execute("ANALYZE")  # of empty tables
    async with old_snapshot(shop.database_url):
        ids = await fill(shop, 20_000)
        for _ in range(2):
            scan = await explained(leader, "recovery.unfinished", after=NOTHING, **FIRST)
            look = await explained(
                leader,
                "recovery.observe",
                pipeline=DEFAULT_PIPELINE,
                ids=ids[-500:],
                convicted_after=CONVICTED_AFTER,
            )
            assert scans(scan) <= {"Index Scan", "Index Only Scan"}
            assert scans(look) <= {"Index Scan", "Index Only Scan"}
            await shop.db.execute("ANALYZE")


async def test_a_slice_costs_the_same_in_a_table_ten_times_as_large(
    shop: Shop, leader: Connection
) -> None:
    async with old_snapshot(shop.database_url):
        costs = []
        for more in (3_000, 27_000):
            ids = await fill(shop, more)
            plan = await explained(leader, "recovery.unfinished", after=ids[-1001], **FIRST)
            costs.append(blocks(plan))
    assert costs[1] < 1.5 * costs[0], costs
