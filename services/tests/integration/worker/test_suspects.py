"""What was abandoned twice is scored apart; a third time, alone. Nothing is booked before that.

The scorer is this test's, in its own process: what a process of its own is for, others test.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shortlist.domain.line.scoring import CrashedError, NotIsolatedError, Score, ScoringError
from shortlist.domain.line.suspicion import ALONE_AFTER, SUSPECT_AFTER
from shortlist.storage.postgres.queries import claims
from shortlist.storage.redis.line import Entry
from shortlist.worker import main, runner
from shortlist.worker.isolation.isolated import IsolatedScorer
from testkit.processes.stack import without_guards

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from shortlist.domain.line.application import ApplicationId
    from testkit.processes.bench import Bench, RunningWorker


class Gate:
    """Scores an ordinary payload when it is opened, a suspect's when the second gate is."""

    name = "gate"

    def __init__(self) -> None:
        self.ordinary, self.suspects = asyncio.Event(), asyncio.Event()
        self.running: list[str] = []
        self.neighbours: list[int] = []
        """For each suspect, how many others were being scored when it began."""

    async def score(self, payload: str) -> Score:
        if payload == "suspect":
            self.neighbours.append(len(self.running))
        self.running.append(payload)
        try:
            await (self.suspects if payload == "suspect" else self.ordinary).wait()
        finally:
            self.running.remove(payload)
        return Score(1.0)

    async def close(self) -> None:
        pass


async def until(what: str, condition: Callable[[], bool], *, seconds: float = 10) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"never: {what}")


async def ends_while_the_fork_server_starts_slowly(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> list[str | None]:
    """How a suspect's attempts ended: the start takes 2 s, and a score may take 1 s."""
    for name, value in without_guards("fork_server_starts_slowly").items():
        monkeypatch.setenv(name, value)
    ids = await submit_suspects(bench, abandoned=SUSPECT_AFTER)
    async with bench.worker(service_seconds=0.0, score_timeout_seconds=1.0):
        await bench.until(ids, lambda view: view.is_final or view.status == "pending")
    rows = await bench.db.fetch("SELECT outcome FROM attempts WHERE attempt > $1", SUSPECT_AFTER)
    return [row["outcome"] for row in rows]


async def test_a_suspect_s_time_out_is_for_its_score_and_not_for_its_process_to_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await ends_while_the_fork_server_starts_slowly(bench, monkeypatch) == [None]


async def test_off_switch_a_start_within_the_time_out_ends_the_suspicion(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: IsolatedScorer) -> None:
        pass

    monkeypatch.setattr(IsolatedScorer, "start", nothing)
    assert await ends_while_the_fork_server_starts_slowly(bench, monkeypatch) == ["errored"]


@asynccontextmanager
async def old_worker(bench: Bench, gate: Gate, **settings: object) -> AsyncIterator[RunningWorker]:
    """A worker that has lived long enough for any suspect."""
    async with bench.worker(gate, **settings) as running:
        async with asyncio.timeout(10):
            while not await bench.db.fetchval(
                "UPDATE workers SET started_at = now() - interval '1 min' RETURNING true"
            ):
                await asyncio.sleep(0.01)
        yield running


async def submit_suspects(
    bench: Bench, count: int = 1, *, abandoned: int = ALONE_AFTER
) -> list[ApplicationId]:
    ids = await bench.accept(count, "suspect")
    await bench.db.executemany(
        "INSERT INTO attempts (application_id, attempt, worker_id) VALUES ($1, $2, $3)",
        [(one, number, uuid4()) for one in ids for number in range(1, abandoned + 1)],
    )
    await bench.line.publish([Entry(one) for one in ids])
    return ids


async def attempts(bench: Bench, one: ApplicationId) -> list[bool]:
    """Whether each was made alone."""
    rows = await bench.db.fetch(
        "SELECT alone FROM attempts WHERE application_id = $1 ORDER BY attempt", one
    )
    return [row["alone"] for row in rows]


async def postponed(bench: Bench) -> list[ApplicationId]:
    return [row[0] for row in await bench.db.fetch("SELECT application_id FROM retries")]


async def test_what_was_abandoned_twice_is_scored_at_once_beside_all_others(
    bench: Bench, mode: str
) -> None:
    gate = Gate()
    async with bench.worker(gate, connection_mode=mode, concurrency=6):
        ordinary = await bench.submit(2)
        await until("two are scored", lambda: len(gate.running) == 2)
        suspects = await submit_suspects(bench, 4, abandoned=SUSPECT_AFTER)
        await until("all are scored side by side", lambda: gate.running.count("suspect") == 4)
        gate.ordinary.set()
        gate.suspects.set()
        await bench.until_final([*ordinary, *suspects])
    assert [await attempts(bench, one) for one in suspects] == [[False] * 3] * 4


async def test_more_suspects_than_a_worker_has_memory_for_are_postponed(
    bench: Bench, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "most_side_by_side", lambda: 2)
    gate = Gate()
    async with bench.worker(gate, connection_mode=mode, concurrency=6):
        suspects = await submit_suspects(bench, 3, abandoned=SUSPECT_AFTER)
        await until("two are scored", lambda: gate.running == ["suspect"] * 2)
        async with asyncio.timeout(10):
            while len(await postponed(bench)) < 1:
                await asyncio.sleep(0.01)
        assert len(gate.running) == 2
        gate.suspects.set()
        await bench.until_final([one for one in suspects if one not in await postponed(bench)])


class Ends:
    """Each score ends its process, or finds none."""

    name = "ends"

    def __init__(self, error: ScoringError) -> None:
        self.error = error

    async def score(self, payload: str) -> Score:
        del payload
        raise self.error

    async def close(self) -> None:
        pass


async def test_what_ends_its_own_process_twice_fails_with_the_true_reason(
    bench: Bench, mode: str
) -> None:
    [suspect] = await submit_suspects(bench, abandoned=SUSPECT_AFTER)
    async with bench.worker(Ends(CrashedError("it was ended by SIGSEGV")), connection_mode=mode):
        await bench.until_line_is_empty()
        async with asyncio.timeout(10):
            while await bench.db.fetchval("SELECT count(*) FROM retries") == 0:
                await asyncio.sleep(0.01)
        await bench.db.execute("DELETE FROM retries")
        await bench.line.publish([Entry(suspect)])
        [view] = await bench.until_final([suspect])
    assert view.reason == (
        "its scoring process died, 2 times by now, while its worker lived: it was ended by SIGSEGV"
    )
    assert len(await attempts(bench, suspect)) == SUSPECT_AFTER + 2


async def test_what_finds_no_process_of_its_own_uses_no_attempt(bench: Bench, mode: str) -> None:
    [suspect] = await submit_suspects(bench, abandoned=SUSPECT_AFTER)
    async with bench.worker(Ends(NotIsolatedError("none")), connection_mode=mode):
        await bench.until_line_is_empty()
    outcome = await bench.db.fetchval(
        "SELECT outcome FROM attempts WHERE application_id = $1 ORDER BY attempt DESC", suspect
    )
    assert outcome == "throttled"


async def scored_alone(bench: Bench, mode: str) -> None:
    gate = Gate()
    async with old_worker(bench, gate, connection_mode=mode, concurrency=4) as running:
        ordinary = await bench.submit(2)
        await until("two are scored", lambda: len(gate.running) == 2)
        [suspect] = await submit_suspects(bench)
        await until("it is reserved", lambda: running.worker._state.alone, seconds=2)
        late = await bench.submit(1)
        assert await attempts(bench, suspect) == [False, False, False]
        gate.ordinary.set()
        await until("it is scored", lambda: gate.running == ["suspect"])
        await bench.until_final(ordinary)
        await asyncio.sleep(1.2)  # the puller's longest block is over
        assert gate.running == ["suspect"]
        gate.suspects.set()
        await bench.until_final([suspect, *late])
    assert gate.neighbours == [0]
    assert await attempts(bench, suspect) == [False, False, False, True]
    assert await attempts(bench, late[0]) == [False]


async def test_a_suspect_is_scored_when_everything_else_has_ended(bench: Bench, mode: str) -> None:
    await scored_alone(bench, mode)


async def test_off_switch_without_isolation_a_suspect_has_neighbours(
    bench: Bench, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "SUSPECT_AFTER", None)
    with pytest.raises(pytest.fail.Exception, match="never: it is reserved"):
        await scored_alone(bench, mode)


async def test_of_two_suspects_one_is_postponed_without_an_attempt(bench: Bench, mode: str) -> None:
    gate = Gate()
    async with old_worker(bench, gate, connection_mode=mode, concurrency=4):
        suspects = await submit_suspects(bench, 2)
        await until("one is scored", lambda: gate.running == ["suspect"])
        async with asyncio.timeout(10):
            while len(await postponed(bench)) < 1:
                await asyncio.sleep(0.01)
        [other] = await postponed(bench)
        assert await attempts(bench, other) == [False, False, False]
        gate.suspects.set()
        await bench.until_final([one for one in suspects if one != other])
        await bench.until_line_is_empty()
    assert gate.neighbours == [0]


async def what_died_alone_is_not_given_to_a_young_worker(bench: Bench, mode: str) -> None:
    gate = Gate()
    gate.suspects.set()
    suspects = await submit_suspects(bench)
    await bench.db.execute("UPDATE attempts SET claimed_at = now() - interval '10 s', alone = true")
    async with bench.worker(gate, connection_mode=mode):
        await bench.until_line_is_empty()
    assert await postponed(bench) == suspects, "it was not postponed"
    assert len(await attempts(bench, suspects[0])) == ALONE_AFTER


async def test_what_died_alone_is_not_given_to_a_young_worker(bench: Bench, mode: str) -> None:
    await what_died_alone_is_not_given_to_a_young_worker(bench, mode)


async def test_off_switch_without_proof_of_life_any_worker_is_given_it(
    bench: Bench, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "is_proved", lambda _: True)
    with pytest.raises(AssertionError, match="not postponed"):
        await what_died_alone_is_not_given_to_a_young_worker(bench, mode)


async def test_a_worker_that_stops_gives_back_the_suspect_that_waits(
    bench: Bench, mode: str
) -> None:
    gate = Gate()
    async with old_worker(bench, gate, connection_mode=mode, concurrency=4) as running:
        ordinary = await bench.submit(1)
        await until("one is scored", lambda: len(gate.running) == 1)
        [suspect] = await submit_suspects(bench)
        await until("it is reserved", lambda: running.worker._state.alone)
        running.stopping.ask()
        await until("it drains", lambda: running.worker._runner._draining)
        gate.ordinary.set()
        assert await running.task
    await bench.until_final(ordinary)
    assert await attempts(bench, suspect) == [False, False, False]
    waiting = await bench.line.entries_from(bench.line.again, (0, 0), 10)
    assert [entry.application_id for entry in waiting] == [suspect]


async def test_a_worker_of_one_slot_is_always_alone(bench: Bench, mode: str) -> None:
    gate = Gate()
    gate.ordinary.set()
    async with bench.worker(gate, connection_mode=mode, concurrency=1):
        ids = await bench.submit(2)
        await bench.until_final(ids)
    assert [await attempts(bench, one) for one in ids] == [[True], [True]]
