"""Promises 1 and 2: Postgres may stop, crash, and cut connections; nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.line.application import ConnectionMode
from testkit.databases.servers import terminate_backends
from testkit.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from testkit.databases.servers import Servers
    from testkit.processes.place import Place

MODES = get_args(ConnectionMode)


async def postgres_away(
    place: Place,
    servers: Servers,
    mode: str,
    how: signal.Signals,
    *,
    settle_seconds: float = PATIENCE_SECONDS,
    **settings: object,
) -> None:
    """Postgres stops under load and comes back a second later."""
    async with place.running(
        "worker", "maintenance", connection_mode=mode, service_seconds=0.3, **settings
    ) as run:
        async with run.ledger.load(per_second=50):
            await run.ledger.until_scored(20)
            await servers.stop_postgres(how)
            await asyncio.sleep(1)  # the length of the outage, not a wait for something
            await servers.start_postgres()
            await run.ledger.until_scored(
                await run.ledger.scored() + 20, within_seconds=settle_seconds
            )
        assert set(run.ledger.answers) <= {202, 503}, f"odd answers: {run.ledger.answers}"
        await run.ledger.settle(within_seconds=settle_seconds)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
@pytest.mark.parametrize("mode", MODES)
async def test_postgres_restarted_under_load_loses_nothing(
    own_place: Place, servers: Servers, mode: str, how: signal.Signals
) -> None:
    await postgres_away(own_place, servers, mode, how)


async def test_off_switch_answering_before_the_commit_loses_what_postgres_never_saw(
    own_place: Place, servers: Servers
) -> None:
    with pytest.raises(AssertionError, match=r"^lost: "):
        await postgres_away(
            own_place, servers, "perJob", signal.SIGQUIT, unguarded="durable_accept",
            commit_timeout_seconds=0.5,  # shorter than the outage: what was answered is gone
        )  # fmt: skip


async def backends_terminated(
    place: Place, mode: str, *, every_seconds: float, for_seconds: float, **settings: object
) -> None:
    """Every connection is cut again and again while scores are under way.

    The score that is under way goes on: a break costs no second one, because the same worker takes
    its claim again (perJob) or never held it by a connection (perWrite).
    """
    async with place.running(
        "worker", "maintenance", connection_mode=mode, service_seconds=1.0, **settings
    ) as run:
        end = time.monotonic() + for_seconds
        cut = 0
        async with run.ledger.load(per_second=8):  # within the worker's 10 a second
            await run.ledger.until_scored(5)
            while time.monotonic() < end:
                cut += await terminate_backends(place.database_url)
                await asyncio.sleep(every_seconds)  # the period of the outages
        assert cut > for_seconds / every_seconds, "nothing was cut: the test would prove nothing"
        assert set(run.ledger.answers) <= {202, 503}, f"odd answers: {run.ledger.answers}"
        await run.ledger.settle()
        begun = await run.others[0].metric("shortlist_score_seconds_count")
        wasted = begun - await run.ledger.scored()
        assert not wasted, f"wasted: {wasted:.0f} scores were begun a second time"


@pytest.mark.parametrize("mode", MODES)
async def test_terminated_backends_lose_nothing_and_waste_no_score(place: Place, mode: str) -> None:
    await backends_terminated(place, mode, every_seconds=1.5, for_seconds=6)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_every_backend_terminated_every_5_s_for_a_minute_loses_nothing(
    place: Place, mode: str
) -> None:
    await backends_terminated(place, mode, every_seconds=5, for_seconds=60)


async def test_off_switch_a_worker_that_does_not_take_its_claims_again_wastes_scores(
    place: Place,
) -> None:
    with pytest.raises(AssertionError, match=r"^wasted: "):
        await backends_terminated(
            place, "perJob", every_seconds=1.5, for_seconds=6, unguarded="resume"
        )
