"""Ten minutes of what production brings, drawn at random: the promises hold all the same.

    CHAOS_SECONDS=600 CHAOS_SEED=$RANDOM uv run pytest -n 0 -s -m slow \
        services/tests/acceptance/test_chaos.py -k "chaos and not off_switch"

`-m slow` runs a minute of it in each mode. Faults are in `testkit.faults.chaos`, each with what it
may excuse; they are dealt from a shuffled deck, so that ten minutes have each of them several
times. The seed and what it drew are printed as it happens: the same seed draws the same again.
"""

from __future__ import annotations

import asyncio
import os
import time
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from testkit.faults.chaos import outside, processes, promises, servers
from testkit.faults.chaos.chaos import APPLICATIONS_PER_SECOND, chaos_in
from testkit.faults.chaos.fault import dealt

if TYPE_CHECKING:
    from pathlib import Path

    from testkit.faults.chaos.chaos import Chaos
    from testkit.faults.chaos.promises import Watch

SECONDS = float(os.environ.get("CHAOS_SECONDS", "60"))

SEEDS = {"perJob": 7, "perWrite": 92}
"""The same faults in each run of CI, so that what lands is judged by its own change."""

FAULTS = [*processes.FAULTS, *servers.FAULTS, *outside.FAULTS]

SETTLED_SECONDS = 180.0
"""Four deaths of a poison, each at the end of a hang of 10 s and a proof of life of 15 s, and what
its suspects had to wait for; the same again on a machine that does other things too."""


BROKEN = r"crashed: |deaths of workers|ended with 1|wasted$|^`scoring` for |^unfinished: "
"""A worker that raises what a server says ends, or leaves what it held ``scoring``."""


def seed_of(mode: str) -> int:
    """What the faults are drawn by."""
    return int(os.environ.get("CHAOS_SEED", SEEDS[mode]))


async def break_things(chaos: Chaos, watch: Watch, seed: int) -> None:
    """One fault after the other; each is over, and its server back, before the next is drawn."""
    started = time.monotonic()
    for draw in dealt(FAULTS, seed):
        at = time.monotonic() - started
        if at > SECONDS:
            return
        chaos.chance = draw.chance
        with watch.during(draw.fault):
            said = await draw.fault.do(chaos)
        say(f"  {at:5.1f} s  {draw.fault.name}: {said} ({time.monotonic() - started - at:.1f} s)")
        await asyncio.sleep(chaos.seconds())  # what broke is noticed and mended meanwhile


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 (the seed, the faults and the figures)


async def promises_hold_in_chaos(
    directory: Path, mode: str, *, settled_seconds: float = SETTLED_SECONDS, **without: str
) -> None:
    seed = seed_of(mode)
    say(f"CHAOS_SEED={seed} CHAOS_SECONDS={SECONDS:g} {mode} {without or ''}")
    async with chaos_in(directory, mode, say, **without) as chaos:
        chaos.stack.expected_deaths.add(promises.HUNG)
        watch = promises.Watch(chaos)
        watching = asyncio.create_task(watch.run())
        async with chaos.ledger.load(APPLICATIONS_PER_SECOND):
            await break_things(chaos, watch, seed)
            await promises.all_have_ended(chaos, settled_seconds)
        await asyncio.gather(*chaos.meanwhile)
        await chaos.ledger.settle(within_seconds=settled_seconds)
        await promises.all_are_ready(chaos)
        watching.cancel()
        say(f"answers {dict(chaos.ledger.answers)}, {len(chaos.api.requests)} asked of the model")
        say(f"crowds were answered {dict(chaos.answered_crowds)}")
        say(f"{watch.samples} samples; at most {watch.longest[0]:.0f} s scoring without excuse")
        say(await promises.assert_attempts_are_not_wasted(chaos, watch))
        watch.judge()
        await promises.assert_only_faults_ended_processes(chaos)
        await chaos.ledger.assert_nothing_is_half_done(
            watch.unconfirmed, chaos.site.postgres_proxy.was_silent_on
        )


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS + 900, func_only=True)
@pytest.mark.parametrize("mode", SEEDS)
async def test_promises_hold_in_chaos(tmp_path: Path, mode: str) -> None:
    await promises_hold_in_chaos(tmp_path, mode)


@pytest.mark.timeout(2 * SECONDS + 900, func_only=True)
async def test_off_switch_chaos_without_the_sweep_leaves_work_undone(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"^(unfinished: |not within .* poison has failed)"):
        await promises_hold_in_chaos(tmp_path, "perJob", everywhere="sweep", settled_seconds=30)


@pytest.mark.timeout(2 * SECONDS + 900, func_only=True)
async def test_off_switch_chaos_ends_workers_that_do_not_survive_a_server_s_trouble(
    tmp_path: Path,
) -> None:
    with pytest.raises(AssertionError, match=BROKEN):
        await promises_hold_in_chaos(tmp_path, "perWrite", unguarded="trouble_is_survived")


def test_each_fault_comes_once_before_any_comes_again_and_a_seed_deals_the_same() -> None:
    count = len(FAULTS)
    names = [draw.fault.name for draw in islice(dealt(FAULTS, 1), 3 * count)]
    assert len(set(names[:count])) == len(set(names[count : 2 * count])) == count
    again = list(islice(dealt(FAULTS, 1), 3 * count))
    assert [draw.fault.name for draw in again] == names
    assert names != [draw.fault.name for draw in islice(dealt(FAULTS, 2), 3 * count)]
