from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from shortlist.ingest.endpoint import refusal
from shortlist.storage.deadline_batcher import DeadlineBatcher
from shortlist.storage.unavailable import DatabaseUnavailableError

if TYPE_CHECKING:
    from shortlist.storage.deadline_batcher import Asked

TIMEOUT_SECONDS = 0.6


async def answers_in_time(monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """Batches that succeed, but slowly: who would wait too long for one is refused in time."""
    if monkeypatch is not None:
        monkeypatch.setattr(DeadlineBatcher, "_refuse_overdue", lambda _: None)
    refused: list[int] = []

    async def slow(asked: list[Asked[int]], _deadline: float) -> list[int]:
        await asyncio.sleep(2 * TIMEOUT_SECONDS)
        return [one.item for one in asked]

    batcher = DeadlineBatcher(slow, timeout_seconds=TIMEOUT_SECONDS, on_refused=refused.append)
    first = batcher.submit(0, time.monotonic())
    await asyncio.sleep(0)
    rest = [batcher.submit(n, time.monotonic()) for n in range(1, 4)]
    done, _ = await asyncio.wait(rest, timeout=1.5 * TIMEOUT_SECONDS)
    assert len(done) == len(rest), "some wait for too long"
    for one in done:
        error = one.exception()
        assert isinstance(error, DatabaseUnavailableError)
        answer = refusal(error, "POST /applications")
        assert (answer.status, answer.headers) == (503, ((b"retry-after", b"1"),))
    assert await first == 0
    assert refused == [3]
    await batcher.join()


async def test_who_waits_too_long_for_a_slow_batch_is_refused_in_time() -> None:
    await answers_in_time()


async def test_off_switch_without_a_look_for_those_who_wait_they_wait_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AssertionError, match="some wait for too long"):
        await answers_in_time(monkeypatch)


async def test_a_batch_that_fails_answers_those_who_wait_behind_it() -> None:
    batches = 0

    async def fail(_asked: list[Asked[int]], _deadline: float) -> list[int]:
        nonlocal batches
        batches += 1
        await asyncio.sleep(0.05)
        raise DatabaseUnavailableError

    batcher = DeadlineBatcher(fail, timeout_seconds=60)
    first = batcher.submit(1, time.monotonic())
    await asyncio.sleep(0)
    behind = batcher.submit(2, time.monotonic())
    errors = await asyncio.gather(first, behind, return_exceptions=True)
    assert [type(error) for error in errors] == [DatabaseUnavailableError, DatabaseUnavailableError]
    assert batches == 1


async def test_a_batchs_deadline_counts_from_its_oldest_request() -> None:
    deadlines = []

    async def note(asked: list[Asked[int]], deadline: float) -> list[int]:
        deadlines.append(deadline)
        return [one.item for one in asked]

    batcher = DeadlineBatcher(note, timeout_seconds=60)
    now = time.monotonic()
    await asyncio.gather(batcher.submit(1, now), batcher.submit(2, now - 30))
    assert min(d for d in deadlines if d is not None) == pytest.approx(now + 30)


async def test_what_has_waited_for_long_still_gets_a_share_of_the_time_out() -> None:
    async def note(_asked: list[Asked[int]], deadline: float) -> list[float]:
        return [deadline]

    batcher = DeadlineBatcher(note, timeout_seconds=60)
    deadline = await batcher.submit(1, time.monotonic() - 59)
    assert deadline == pytest.approx(time.monotonic() + 20, abs=1)
