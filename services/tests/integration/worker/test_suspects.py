"""A worker scores alone what was abandoned twice, and books nothing for what it cannot take."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shortlist.domain.scoring import Score
from shortlist.storage import claims
from shortlist.storage.line import Entry
from shortlist.worker import runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from shortlist.domain.application import ApplicationId
    from support.bench import Bench, RunningWorker


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


async def submit_suspects(bench: Bench, count: int = 1) -> list[ApplicationId]:
    ids = await bench.accept(count, "suspect")
    await bench.db.executemany(
        "INSERT INTO attempts (application_id, attempt, worker_id) VALUES ($1, $2, $3)",
        [(one, attempt, uuid4()) for one in ids for attempt in (1, 2)],
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


async def scored_alone(bench: Bench, mode: str) -> None:
    gate = Gate()
    async with old_worker(bench, gate, connection_mode=mode, concurrency=4) as running:
        ordinary = await bench.submit(2)
        await until("two are scored", lambda: len(gate.running) == 2)
        [suspect] = await submit_suspects(bench)
        await until("it is reserved", lambda: running.worker._state.alone, seconds=2)
        late = await bench.submit(1)
        assert await attempts(bench, suspect) == [False, False]
        gate.ordinary.set()
        await until("it is scored", lambda: gate.running == ["suspect"])
        await bench.until_final(ordinary)
        await asyncio.sleep(1.2)  # the puller's longest block is over
        assert gate.running == ["suspect"]
        gate.suspects.set()
        await bench.until_final([suspect, *late])
    assert gate.neighbours == [0]
    assert await attempts(bench, suspect) == [False, False, True]
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
        assert await attempts(bench, other) == [False, False]
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
    assert len(await attempts(bench, suspects[0])) == 2


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
        running.stop.set()
        await until("it drains", lambda: running.worker._runner._draining)
        gate.ordinary.set()
        assert await running.task == 0
    await bench.until_final(ordinary)
    assert await attempts(bench, suspect) == [False, False]
    waiting = await bench.line.entries_from(bench.line.again, (0, 0), 10)
    assert [entry.application_id for entry in waiting] == [suspect]


async def test_a_worker_of_one_slot_is_always_alone(bench: Bench, mode: str) -> None:
    gate = Gate()
    gate.ordinary.set()
    async with bench.worker(gate, connection_mode=mode, concurrency=1):
        ids = await bench.submit(2)
        await bench.until_final(ids)
    assert [await attempts(bench, one) for one in ids] == [[True], [True]]
