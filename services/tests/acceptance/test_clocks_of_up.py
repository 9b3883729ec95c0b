"""`shortlist up` on a machine whose clock is wrong, is set right, and is set while it runs."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from testkit.clients.ledger import Ledger
from testkit.faults.clocks import (
    GOES_ON_SECONDS,
    HOUR,
    LEADS,
    OFFSETS,
    UNFINISHED,
    postgres_seconds,
    redis_seconds,
    schedule_a_retry,
    servers_by,
    value,
)
from testkit.processes.faketime import Clock
from testkit.processes.stack import without_guards
from testkit.processes.up import Up, running
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIPELINE = """
apiVersion: shortlist.dev/v1alpha1
kind: ScoringPipeline
metadata: {name: default}
spec:
  scorer: {kind: simulated, serviceSeconds: 0.1}
  scaling: {minReplicas: 2}
"""
"""As many workers as `up` starts with: else it would let one go 45 s later, which is waited for."""


@contextmanager
def an_up(directory: Path, **variables: str) -> Iterator[Up]:
    """`shortlist up` with that pipeline."""
    (directory / "pipeline.yaml").write_text(PIPELINE, encoding="utf-8")
    with running(directory, "-f", "pipeline.yaml", prefix=(), **variables) as up:
        yield up


def urls(up: Up) -> dict[str, str]:
    """Where its servers are."""
    lines = (up.data / "env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def owner_url(up: Up) -> str:
    return urls(up).get("OWNER_DATABASE_URL") or urls(up)["DATABASE_URL"]


def workers(up: Up) -> set[str]:
    """Which worker processes there are: who was started, or let go, changes them."""
    return {name for name in up.children() if name.startswith("worker")}


async def goes_on(up: Up, ledger: Ledger, when: str) -> None:
    """One leads, a retry comes, what is accepted now is scored, and no worker comes or goes."""
    there, crew = owner_url(up), workers(up)
    await schedule_a_retry(there)
    await ledger.submit(5)
    assert set(ledger.answers) == {202}, when

    async def all_is_well() -> bool:
        return bool(await value(there, LEADS)) and not await value(there, UNFINISHED)

    await until(all_is_well, within_seconds=GOES_ON_SECONDS, what=f"all goes on when {when}")
    assert workers(up) == crew, f"workers came or went when {when}"
    count = await value(there, "SELECT count(*) FROM applications")
    assert count > len(ledger.accepted), f"something was deleted when {when}"


async def until_quiet(up: Up) -> None:
    """Wait until the workers are ready: before, a start may be under way."""
    await up.said("workers 2/2")


async def lives_by(up: Up, ahead_seconds: int) -> None:
    """Its servers show the time that the test set: else the test would show nothing."""
    shown = await postgres_seconds(owner_url(up)), await redis_seconds(urls(up)["REDIS_URL"])
    assert shown == pytest.approx((time.time() + ahead_seconds,) * 2, abs=60)


async def is_right_after(directory: Path, ahead_seconds: int, *, unguarded: str = "") -> None:
    """Everything lives an hour off, is stopped cleanly, and comes back with the right clock."""
    clock = Clock.right(directory / "time")
    clock.set(ahead_seconds)
    variables = clock.variables | without_guards(unguarded)
    with an_up(directory, **variables) as up:
        await up.ready()
        await lives_by(up, ahead_seconds)
        async with Ledger(up.url, owner_url(up)) as ledger:
            await until_quiet(up)
            await goes_on(up, ledger, "the clock is wrong")
        up.interrupt()
        assert await up.ended() == 0
    clock.set(0)
    with an_up(directory, **variables) as up:
        await up.ready()
        await lives_by(up, 0)
        async with Ledger(up.url, owner_url(up)) as ledger:
            await until_quiet(up)
            await goes_on(up, ledger, "the clock is right again")
            await ledger.settle()


@pytest.mark.slow
@pytest.mark.parametrize("ahead_seconds", [HOUR, -HOUR])
async def test_up_after_an_hour_that_was_wrong(tmp_path: Path, ahead_seconds: int) -> None:
    await is_right_after(tmp_path, ahead_seconds)


async def test_off_switch_of_up_after_an_hour_that_was_wrong(tmp_path: Path) -> None:
    """The lease was given up "now", an hour ahead, and its end is believed."""
    with pytest.raises(AssertionError, match="all goes on when the clock is right again"):
        await is_right_after(tmp_path, HOUR, unguarded="bounded_leases,given_up_on_any_clock")


@pytest.mark.slow
async def test_up_while_its_machines_clock_is_set(tmp_path: Path) -> None:
    clock = Clock.right(tmp_path / "time")
    with an_up(tmp_path, **clock.variables) as up:
        await up.ready()
        await until_quiet(up)
        async with Ledger(up.url, owner_url(up)) as ledger:
            await goes_on(up, ledger, "no clock is set yet")
            for offset in OFFSETS:
                clock.set(offset)
                await lives_by(up, offset)
                await goes_on(up, ledger, f"the clock is set to {offset:+d} s")
            await ledger.settle()


@pytest.mark.slow
async def test_up_beside_servers_whose_clocks_are_set(tmp_path: Path) -> None:
    """Of all that `up` runs, and of each server, by itself."""
    clocks = {name: Clock.right(tmp_path / f"{name}.time") for name in ("up", "postgres", "redis")}
    own, *others = clocks.values()
    async with servers_by(tmp_path, postgres=others[0], redis=others[1]) as servers:
        place = {"DATABASE_URL": servers.postgres.url, "REDIS_URL": servers.redis.url}
        with an_up(tmp_path, **own.variables, **place) as up:
            await up.ready()
            await until_quiet(up)
            async with Ledger(up.url, servers.postgres.url) as ledger:
                for who, clock in clocks.items():
                    for offset in OFFSETS:
                        clock.set(offset)
                        await goes_on(up, ledger, f"{who} is set to {offset:+d} s")
                await ledger.settle()
