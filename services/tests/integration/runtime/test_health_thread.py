"""Whether a process is well is told while its event loop is busy, and not when that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest

from shortlist.runtime import http_server, probes
from shortlist.runtime.probes import HANGING_SECONDS, always_ok, liveness_at
from shortlist.settings import Settings
from testkit.clients.prober import ask
from testkit.processes.stack import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

BUSY_SECONDS = 2.0
"""How long this loop answers no client; the thread beside it has 20 × `HEALTHY_SECONDS`."""

HEALTHY_SECONDS = 0.1


def be_busy(seconds: float) -> None:
    """Keep Python's lock as far as a thread can; no event loop turns meanwhile."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        pass


async def answers_meanwhile(
    path: str, do: Callable[[float], None], seconds: float
) -> list[tuple[int, float]]:
    """What the health listener answers while this loop does something else, and how fast."""
    port, found, ended = free_port(), [], threading.Event()

    def ask_on() -> None:
        while not ended.is_set():
            began = time.monotonic()
            status = ask(port, path)
            found.append((status, time.monotonic() - began))

    async with probes.serve_probes(always_ok, Settings(host="127.0.0.1", metrics_port=port)):
        assert await asyncio.to_thread(ask, port, path) == 200
        asking = threading.Thread(target=ask_on)
        asking.start()
        try:
            do(seconds)
        finally:
            ended.set()
            await asyncio.to_thread(asking.join)
        assert await asyncio.to_thread(ask, port, path) == 200
    return found


async def health_is_told_while_the_loop_is_busy() -> None:
    found = await answers_meanwhile("/healthz", be_busy, BUSY_SECONDS)
    assert {status for status, _ in found} == {200}
    # All of that time in tenths of a second, if each took what it may; half of that is asked for.
    assert len(found) >= BUSY_SECONDS / HEALTHY_SECONDS / 2


async def test_health_is_told_while_the_loop_is_busy() -> None:
    await health_is_told_while_the_loop_is_busy()


@contextlib.asynccontextmanager
async def _in_the_same_loop(
    serving: Callable[[], AbstractAsyncContextManager[object]],
) -> AsyncIterator[None]:
    async with serving():
        yield


async def test_off_switch_health_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same listener, served by the loop that is busy."""
    monkeypatch.setattr(http_server, "in_a_thread", _in_the_same_loop)
    with pytest.raises(AssertionError):
        await health_is_told_while_the_loop_is_busy()


async def a_loop_that_hangs_is_told() -> None:
    found = await answers_meanwhile("/healthz", time.sleep, BUSY_SECONDS)
    statuses = [status for status, _ in found][:-1]  # the last may be of when it turned again
    assert set(statuses) == {200, 503}
    assert statuses == sorted(statuses)  # once it hangs that is told until it turns again


async def test_a_loop_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "HANGING_SECONDS", BUSY_SECONDS / 2)
    await a_loop_that_hangs_is_told()


async def test_off_switch_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "HANGING_SECONDS", BUSY_SECONDS / 2)
    monkeypatch.setattr(probes.LoopHeartbeat, "check", lambda _: always_ok())
    with pytest.raises(AssertionError):
        await a_loop_that_hangs_is_told()


async def test_readiness_and_metrics_are_answered_in_time_when_the_loop_hangs() -> None:
    (status, seconds), *_ = await answers_meanwhile("/readyz", time.sleep, 2.5)
    assert status == 503
    assert seconds < 2.4
    (status, seconds), *_ = await answers_meanwhile("/metrics", time.sleep, 1.0)
    assert status == 200
    assert seconds < 0.9


@pytest.mark.parametrize(
    ("age_seconds", "ok"), [(0, True), (HANGING_SECONDS, True), (HANGING_SECONDS + 0.01, False)]
)
def test_a_loop_is_judged_by_when_it_last_went_round(age_seconds: float, *, ok: bool) -> None:
    assert liveness_at(age_seconds).ok is ok


async def test_what_cannot_be_served_is_told() -> None:
    @contextlib.asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        raise http_server.CannotListenError("in use")
        yield

    with pytest.raises(http_server.CannotListenError, match="in use"):
        await asyncio.wait_for(http_server.in_a_thread(broken).__aenter__(), 10)


async def test_the_listener_ends_with_the_block() -> None:
    port = free_port()
    async with probes.serve_probes(always_ok, Settings(host="127.0.0.1", metrics_port=port)):
        assert await asyncio.to_thread(ask, port, "/readyz") == 200
    assert await asyncio.to_thread(ask, port, "/readyz") == 0
