"""Promise 5: on SIGTERM a worker finishes or gives back; ingest does what it has answered for."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.line.application import ConnectionMode
from testkit.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    import datetime as dt

    from testkit.clients.ledger import Ledger
    from testkit.processes.place import Place

MODES = get_args(ConnectionMode)
HELD = 4


async def until_held(ledger: Ledger, count: int = HELD) -> None:
    """Wait until so many applications are being scored."""

    async def look() -> bool:
        return bool(await ledger.value("SELECT count(*) >= $1 FROM attempts", count))

    await until(look, what=f"{count} applications are being scored")


async def finished_on_sigterm(place: Place, mode: str, **settings: object) -> None:
    """A worker with four scores in hand and more in the line is asked to end."""
    async with place.running(
        "worker", "maintenance", connection_mode=mode, concurrency=HELD, **settings,
        service_seconds=2, drain_timeout_seconds=20,
    ) as run:  # fmt: skip
        await run.ledger.submit(3 * HELD, at_once=3 * HELD)
        await until_held(run.ledger)
        worker = run.others[0]
        worker.terminate()
        code = await worker.exit_code()
        scored = await run.ledger.scored()
        assert (code, scored) == (0, HELD), f"interrupted: exit code {code}, {scored} scored"
        claims = await run.ledger.value("SELECT count(*) FROM attempts")
        assert claims == HELD, f"it went on pulling: {claims} claims"
        await run.stack.start("worker", service_seconds=0.05)
        await run.ledger.settle()
        assert await run.ledger.value("SELECT max(attempt) FROM attempts") == 1


@pytest.mark.parametrize("mode", MODES)
async def test_on_sigterm_a_worker_stops_pulling_and_finishes_what_it_holds(
    place: Place, mode: str
) -> None:
    await finished_on_sigterm(place, mode)


@pytest.mark.parametrize("mode", MODES)
async def test_off_switch_a_worker_that_does_not_drain_interrupts_its_scores(
    place: Place, mode: str
) -> None:
    with pytest.raises(AssertionError, match=r"^interrupted: "):
        await finished_on_sigterm(place, mode, unguarded="graceful_drain")


async def given_back_after_the_grace(
    place: Place, mode: str, *, settle_seconds: float = PATIENCE_SECONDS, **settings: object
) -> None:
    """The scores take longer than the grace: others begin them anew as soon as it is over.

    Maintenance does not run: no sweep rescues what is not given back.
    """
    async with place.running(
        "worker", connection_mode=mode, concurrency=HELD, **settings, service_seconds=600,
        drain_timeout_seconds=1,
    ) as run:  # fmt: skip
        await run.ledger.submit(HELD, at_once=HELD)
        await until_held(run.ledger)
        await run.stack.start("worker", service_seconds=0.05)
        worker = run.others[0]
        started = time.monotonic()
        terminated_at: dt.datetime = await run.ledger.value("SELECT clock_timestamp()")
        worker.terminate()
        await worker.exit_code()
        print(f"{mode}: it ended {time.monotonic() - started:.2f} s after SIGTERM")  # noqa: T201 (the figure)
        await run.ledger.settle(within_seconds=settle_seconds)
        outcomes = await run.ledger.query(
            "SELECT attempt, outcome, claimed_at FROM attempts ORDER BY attempt, claimed_at"
        )
        assert [r["outcome"] for r in outcomes] == ["released"] * HELD + [None] * HELD
        seconds = (outcomes[-1]["claimed_at"] - terminated_at).total_seconds()
        assert seconds <= 1 + 2, f"given back {seconds:.2f} s after SIGTERM, the grace being 1 s"


@pytest.mark.quiet
@pytest.mark.parametrize("mode", MODES)
async def test_what_outlasts_the_grace_is_given_back_at_once(place: Place, mode: str) -> None:
    await given_back_after_the_grace(place, mode)


@pytest.mark.parametrize("mode", MODES)
async def test_off_switch_a_worker_that_does_not_drain_gives_nothing_back(
    place: Place, mode: str
) -> None:
    with pytest.raises(AssertionError, match=r"^unfinished: "):
        await given_back_after_the_grace(place, mode, settle_seconds=8, unguarded="graceful_drain")


@pytest.mark.parametrize("mode", MODES)
async def test_a_second_sigterm_stops_a_worker_at_once_and_loses_nothing(
    place: Place, mode: str
) -> None:
    async with place.running(
        "worker", "maintenance", connection_mode=mode, concurrency=HELD, service_seconds=600,
        drain_timeout_seconds=600,
    ) as run:  # fmt: skip
        await run.ledger.submit(HELD)
        await until_held(run.ledger)
        worker = run.others[0]
        worker.terminate()

        async def draining() -> bool:
            return '"draining"' in worker.log

        await until(draining, what="the worker says that it drains")
        worker.signal(signal.SIGTERM)
        await worker.exit_code()
        await run.stack.start("worker", service_seconds=0.05)
        await run.ledger.settle()


async def ingest_published_what_it_answered(
    place: Place, mode: str, *, settle_seconds: float = PATIENCE_SECONDS, **settings: object
) -> None:
    """Ingest ends in the middle of a load; nothing but itself puts its 202s on the line."""
    async with place.running(
        "worker", connection_mode=mode, service_seconds=0.05,
        failpoints="ingest.after_answer=sleep:0.5", **settings,
    ) as run:  # fmt: skip
        async with run.ledger.load(per_second=60):
            await until_held(run.ledger, 10)
            run.ingest.terminate()
            code = await run.ingest.exit_code()
        await run.ledger.settle(within_seconds=settle_seconds)
        assert code == 0


@pytest.mark.parametrize("mode", MODES)
async def test_on_sigterm_ingest_publishes_what_it_answered_for(place: Place, mode: str) -> None:
    await ingest_published_what_it_answered(place, mode)


async def test_off_switch_an_ingest_that_does_not_drain_leaves_its_202s_to_others(
    place: Place,
) -> None:
    with pytest.raises(AssertionError, match=r"^unfinished: "):
        await ingest_published_what_it_answered(
            place, "perJob", settle_seconds=8, unguarded="graceful_drain"
        )
