"""A payload that ends its worker is found by isolation; innocent ones are scored all the same.

Bounds on paid calls: three attempts for an innocent application (two in company with a poisonous
one, and one in a process of its own), four for a poisonous one, whether others are scored or not.
One more for each where a poisonous one ends its worker even from a process of its own, and some
more for that one itself while no innocent one was scored.
"""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from testkit.processes.kubelet import memory_limited
from testkit.processes.stack import status_of
from testkit.waiting import until

if TYPE_CHECKING:
    from asyncpg import Record

    from testkit.clients.ledger import Ledger
    from testkit.processes.place import Place
    from testkit.processes.stack import Service

pytestmark = pytest.mark.slow

REASON = "its scoring process died, 2 times by now, while its worker lived: "
REASONS = {
    "!crash": f"{REASON}it was ended by SIGKILL",
    "!segfault": f"{REASON}it was ended by SIGSEGV",
    "!loop": f"{REASON}it hung",
    "!memory": f"{REASON}it needed more than ",
    "!outside": "abandoned: its worker died or let go of it each time it was scored: ",
}
HUNG = 1
"""The exit code of the watchdog."""
LIMIT_BYTES = 400 * 2**20
"""A worker has some 90 MiB."""

_BOOKS = """
SELECT a.payload, r.status, r.reason, r.score,
       (SELECT count(*) FROM attempts t WHERE t.application_id = a.id) AS attempts,
       (SELECT count(*) FROM audit_log l WHERE l.application_id = a.id) AS audited
FROM applications a LEFT JOIN results r ON r.application_id = a.id
"""


@dataclass(frozen=True)
class Case:
    """Who is there, and what befalls them."""

    mode: str
    death: str = "!crash"
    workers: int = 1
    concurrency: int = 10
    innocents: int = 9
    poisonous: int = 1
    service_seconds: float = 0.4

    @property
    def reason(self) -> str:
        """How that of a poisonous one begins."""
        return REASONS[self.death]

    @property
    def most(self) -> tuple[int, int]:
        """Attempts of an innocent one, and of a poisonous one."""
        return (4, 8) if self.death == "!outside" else (3, 4)

    def __str__(self) -> str:
        """For the test's name."""
        crowd = f"{self.workers}x{self.concurrency}-{self.poisonous}+{self.innocents}"
        return f"{self.mode}-{self.death.removeprefix('!')}-{crowd}"


CASES = [
    Case("perJob"),
    Case("perWrite", workers=2),
    Case("perJob", workers=2, innocents=29, poisonous=3, service_seconds=0.2),
    Case("perWrite", innocents=29, poisonous=3, service_seconds=0.2),
    Case("perJob", concurrency=1),
    Case("perJob", "!loop", workers=2),
    Case("perWrite", "!loop"),
    Case("perJob", "!memory"),
    Case("perWrite", "!memory", workers=2),
    Case("perJob", "!segfault", innocents=0),
    Case("perWrite", "!loop", innocents=0),
    Case("perJob", "!segfault", concurrency=1, innocents=0),
    Case("perJob", "!outside"),
    Case("perWrite", "!outside", workers=2),
]


async def poison_harms_nobody_else(
    place: Place, case: Case, *, unguarded: str = "", within_seconds: float = 85.0
) -> None:
    """Everything is posted before the workers start, so that they meet it together."""
    hangs_soon = "hangs_soon" if case.death == "!loop" else ""
    guards = ",".join(filter(None, ["deadly_payloads", hangs_soon, unguarded]))
    async with place.running(
        connection_mode=case.mode, concurrency=case.concurrency,
        service_seconds=case.service_seconds,
    ) as run:  # fmt: skip
        run.stack.expected_deaths |= {HUNG, -signal.SIGSEGV}
        await run.stack.start("maintenance", unguarded=unguarded)
        for _ in range(case.poisonous):
            await run.ledger.post(prefix=f"{case.death} ")
        await run.ledger.submit(case.innocents)
        workers = [
            await run.stack.start("worker", wait=False, unguarded=guards)
            for _ in range(case.workers)
        ]
        started = time.monotonic()
        async with memory_limited(workers, LIMIT_BYTES):
            await _until_all_ended(run.ledger, case, within_seconds)
        seconds = time.monotonic() - started
        deaths = sum(len(worker.deaths) for worker in workers)
        calls = await run.ledger.value("SELECT count(*) FROM attempts")
        print(f"{case}: {seconds:.0f} s, {deaths} deaths, {calls} calls")  # noqa: T201 (the figures)


async def _until_all_ended(ledger: Ledger, case: Case, within_seconds: float) -> None:
    deadline = time.monotonic() + within_seconds
    most_innocent, most_guilty = case.most
    while True:
        rows = await ledger.query(_BOOKS)
        innocent = [row for row in rows if not row["payload"].startswith("!")]
        guilty = [row for row in rows if row["payload"].startswith("!")]
        assert len(innocent) == case.innocents
        assert all(row["status"] != "failed" for row in innocent), "an innocent one failed"
        assert all(row["attempts"] <= most_innocent for row in innocent), (
            "an innocent one was tried too often"
        )
        assert all(row["attempts"] <= most_guilty for row in guilty), (
            "a poisonous one was tried too often"
        )
        if all(row["status"] for row in rows):
            break
        open_ones = [(row["payload"], row["attempts"]) for row in rows if not row["status"]]
        assert time.monotonic() < deadline, f"not ended: {open_ones}"
        await asyncio.sleep(0.2)
    assert all(row["status"] == "scored" for row in innocent)
    assert all(row["audited"] == 1 for row in rows)
    assert all(row["reason"].startswith(case.reason) for row in guilty), guilty


def _most_attempts(rows: list[Record]) -> int:
    return max((row["attempts"] for row in rows), default=0)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_poison_harms_nobody_else(place: Place, case: Case) -> None:
    await poison_harms_nobody_else(place, case)


async def what_cannot_be_written_harms_nothing_else(
    place: Place, mode: str, *, unguarded: str = ""
) -> None:
    """Three verdicts that Postgres cannot hold as they are, in batches with 27 that it can."""
    guards = ",".join(filter(None, ["deadly_payloads", unguarded]))
    async with place.running(
        "maintenance", connection_mode=mode, concurrency=10, service_seconds=0.2
    ) as run:
        for _ in range(3):
            await run.ledger.post(prefix="!nul ")
            await run.ledger.submit(9)
        await run.stack.start("worker", unguarded=guards)
        await run.ledger.settle(within_seconds=30)
        assert await run.ledger.value("SELECT count(*) FROM attempts") == 30
        assert (
            await run.ledger.value(
                "SELECT count(*) FROM results WHERE strpos(detail ->> 'rationale', $1) > 0",
                "\ufffd",
            )
            == 3
        )


@pytest.mark.parametrize("mode", ["perJob", "perWrite"])
async def test_poison_harms_nobody_else_when_it_cannot_be_written(place: Place, mode: str) -> None:
    await what_cannot_be_written_harms_nothing_else(place, mode)


@pytest.mark.parametrize("mode", ["perJob", "perWrite"])
async def test_off_switch_without_cleaning_what_cannot_be_written_fails_and_alone(
    place: Place, mode: str
) -> None:
    with pytest.raises(AssertionError, match="failed: 3 applications"):
        await what_cannot_be_written_harms_nothing_else(place, mode, unguarded="cleaning")


@pytest.mark.parametrize("mode", ["perJob", "perWrite"])
async def test_off_switch_without_isolation_innocents_are_tried_again_and_again(
    place: Place, mode: str
) -> None:
    with pytest.raises(AssertionError, match="tried too often"):
        await poison_harms_nobody_else(place, Case(mode), unguarded="isolation")


async def test_off_switch_with_deaths_in_company_counted_innocents_fail(place: Place) -> None:
    with pytest.raises(AssertionError, match="an innocent one failed"):
        await poison_harms_nobody_else(
            place, Case("perJob", innocents=9), unguarded="isolation,conviction_alone"
        )


async def test_off_switch_without_a_process_of_its_own_it_takes_others_along(place: Place) -> None:
    with pytest.raises(AssertionError, match="tried too often"):
        await poison_harms_nobody_else(place, Case("perJob"), unguarded="own_process")


async def many_kills_from_outside_fail_no_innocent(
    place: Place, case: Case, *, kills: int, unguarded: str = ""
) -> None:
    """All workers die together: as soon as anything is scored, or a while after they started."""
    async with place.running(
        connection_mode=case.mode, concurrency=case.concurrency,
        service_seconds=case.service_seconds,
    ) as run:  # fmt: skip
        await run.stack.start("maintenance", unguarded=unguarded)
        workers = [
            await run.stack.start("worker", unguarded=unguarded) for _ in range(case.workers)
        ]
        await run.ledger.submit(case.innocents)
        for _ in range(kills):
            await _until_scoring(run.ledger, workers)
            for worker in workers:
                worker.kill()
            await asyncio.sleep(0.2)  # the dead are replaced
            failed = await run.ledger.query("SELECT reason FROM results WHERE status = 'failed'")
            assert not failed, f"an innocent one failed: {failed}"
        await run.ledger.settle(within_seconds=60)
        most = await run.ledger.value("SELECT max(attempt) FROM attempts")
        print(f"{case}: {kills} kills, at most {most} attempts")  # noqa: T201 (the figure)


async def _until_scoring(ledger: Ledger, workers: list[Service]) -> None:
    """Until a live worker scores something, or all have been idle for a while."""
    ready_since = None

    async def look() -> bool:
        nonlocal ready_since
        scoring = await ledger.value(
            "SELECT count(*) FROM attempts t JOIN workers w ON w.id = t.worker_id"
            " WHERE t.outcome IS NULL AND lock_key(w.id) IN (SELECT key FROM held_locks)"
            " OR t.outcome IS NULL AND w.lease_expires_at > clock_timestamp() + interval '2 s'"
        )
        if all([await status_of(f"{w.url}/readyz") == 200 for w in workers]):
            ready_since = ready_since or time.monotonic()
        idle_seconds = time.monotonic() - (ready_since or time.monotonic())
        return bool(scoring) or idle_seconds > 1.0

    await until(look, within_seconds=30, what="workers are at work, or idle")


@pytest.mark.parametrize(
    ("case", "kills"),
    [
        (Case("perJob", innocents=3, service_seconds=2.0), 20),
        (Case("perWrite", workers=2, concurrency=1, innocents=6, service_seconds=2.0), 10),
    ],
    ids=str,
)
async def test_many_kills_from_outside_fail_no_innocent(
    place: Place, case: Case, kills: int
) -> None:
    await many_kills_from_outside_fail_no_innocent(place, case, kills=kills)


async def test_off_switch_without_a_look_at_others_kills_from_outside_convict(
    place: Place,
) -> None:
    case = Case("perJob", innocents=1, service_seconds=5.0)
    with pytest.raises(AssertionError, match="an innocent one failed"):
        await many_kills_from_outside_fail_no_innocent(
            place, case, kills=10, unguarded="others_end,proof_of_life"
        )
