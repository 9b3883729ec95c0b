"""Clocks are set by an hour and by a hundred days, of one process or of all, while work goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from testkit.faults.clocks import (
    GOES_ON_SECONDS,
    HOUR,
    OFFSETS,
    UNFINISHED,
    schedule_a_retry,
    servers_by,
)
from testkit.processes.faketime import Clock
from testkit.processes.place import Place
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.clients.ledger import Ledger
    from testkit.processes.stack import Role, Service

LEADING = "shortlist_maintenance_leading"

CLOCKS = ("postgres", "redis", "ingest", "maintenance", "worker")
ROLES: list[tuple[Role, dict[str, Any]]] = [
    ("ingest", {}),
    ("maintenance", {}),
    ("maintenance", {}),
    ("worker", {"connection_mode": "perJob"}),
    ("worker", {"connection_mode": "perWrite"}),
]


async def clocks_are_set(
    directory: Path,
    whose: tuple[str, ...],
    *,
    offsets: tuple[int, ...] = OFFSETS,
    unguarded: str = "",
) -> None:
    """After each step all is scored, a retry comes, one replica leads, and nothing is gone."""
    clocks = {name: Clock.right(directory / f"{name}.time") for name in CLOCKS}
    async with servers_by(directory, postgres=clocks["postgres"], redis=clocks["redis"]) as servers:
        place = Place(directory, servers.postgres.url, servers.redis.url)
        async with place.stack(service_seconds=0.05, retention_days=30) as stack:
            ingest, *others = [
                await stack.start(
                    role, wait=False, unguarded=unguarded, variables=clocks[role].variables, **more
                )
                for role, more in ROLES
            ]
            await stack.ready()
            async with place.ledger(ingest) as ledger:
                await _goes_on(ledger, others[:2], "no clock is set yet")
                for who in whose:
                    for offset in offsets:
                        await schedule_a_retry(servers.postgres.url)
                        for name in CLOCKS if who == "all" else (who,):
                            clocks[name].set(offset)
                        await _goes_on(ledger, others[:2], f"{who} is set to {offset:+d} s")
                await ledger.settle()


async def _goes_on(ledger: Ledger, replicas: list[Service], when: str) -> None:
    await ledger.submit(5)
    assert set(ledger.answers) == {202}, when

    async def all_is_well() -> bool:
        leading = [replica for replica in replicas if await replica.metric(LEADING)]
        return len(leading) == 1 and not await ledger.value(UNFINISHED)

    await until(all_is_well, within_seconds=GOES_ON_SECONDS, what=f"all goes on when {when}")
    there = await ledger.value("SELECT count(*) FROM applications")
    assert there >= len(ledger.accepted), f"something was deleted when {when}"


@pytest.mark.slow
async def test_clocks_step(tmp_path: Path) -> None:
    await clocks_are_set(tmp_path, (*CLOCKS, "all"))


@pytest.mark.parametrize("guard", ["bounded_retries", "deadlines_look_again"])
async def test_off_switch_clocks(tmp_path: Path, guard: str) -> None:
    """An hour ahead, and right again: what was written meanwhile ends an hour too late."""
    with pytest.raises(AssertionError, match="postgres is set to"):
        await clocks_are_set(tmp_path, ("postgres",), offsets=(HOUR, 0), unguarded=guard)
