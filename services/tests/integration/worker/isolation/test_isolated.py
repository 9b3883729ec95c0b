"""What a payload does to the process that scores it, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from shortlist.domain.line.scoring import CrashedError, NotIsolatedError
from shortlist.settings import WorkerSettings
from shortlist.worker.isolation import fork_server
from shortlist.worker.isolation.isolated import IsolatedScorer
from shortlist.worker.scorers.simulated import score_of_payload
from testkit.processes.stack import without_guards
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def isolated(**settings: object) -> AsyncIterator[IsolatedScorer]:
    scorer = IsolatedScorer(WorkerSettings.model_validate({"service_seconds": 0.0, **settings}))
    try:
        yield scorer
    finally:
        await scorer.close()


def scoring_processes(scorer: IsolatedScorer) -> list[psutil.Process]:
    assert scorer._server is not None
    return psutil.Process(scorer._server.pid).children()


async def until_scoring(scorer: IsolatedScorer, count: int) -> None:
    async def look() -> bool:
        return scorer._server is not None and len(scoring_processes(scorer)) == count

    await until(look, within_seconds=20, what=f"{count} scoring processes")


async def test_a_score_is_that_of_the_settings_scorer() -> None:
    async with isolated() as scorer:
        scores = await asyncio.gather(*(scorer.score(f"text {n} \0 é") for n in range(8)))
    assert [s.value for s in scores] == [score_of_payload(f"text {n} \0 é") for n in range(8)]


@pytest.mark.parametrize(
    ("death", "how"),
    [
        ("!crash", "it was ended by SIGKILL"),
        ("!segfault", "it was ended by SIGSEGV"),
        ("!loop", "it hung"),
        ("!memory", f"it needed more than {fork_server.memory_bytes() >> 20} MiB of memory"),
    ],
)
async def test_what_ends_its_process_is_told_and_others_are_scored(
    death: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guards = "deadly_payloads,hangs_soon" if death == "!loop" else "deadly_payloads"
    for name, value in without_guards(guards).items():
        monkeypatch.setenv(name, value)
    async with isolated(service_seconds=1.0) as scorer:
        beside = asyncio.create_task(scorer.score("beside"))
        with pytest.raises(CrashedError, match=f"^{how}$"):
            await scorer.score(f"{death} x")
        assert (await beside).value == score_of_payload("beside")


async def test_once_started_no_score_waits_for_the_fork_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in without_guards("fork_server_starts_slowly").items():
        monkeypatch.setenv(name, value)
    async with isolated() as scorer:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scorer.score("x"), 1.0)
    async with isolated() as scorer:
        await scorer.start()
        server = scorer._server
        assert (await asyncio.wait_for(scorer.score("x"), 1.0)).value == score_of_payload("x")
        await scorer.start()
        assert server is not None
        assert scorer._server is server
        os.kill(server.pid, signal.SIGKILL)  # as it ends itself when it was idle
        await server.wait()
        await scorer.start()
        assert (await asyncio.wait_for(scorer.score("x"), 1.0)).value == score_of_payload("x")


async def test_a_score_that_is_cancelled_leaves_no_process() -> None:
    async with isolated(service_seconds=600.0) as scorer:
        scoring = asyncio.create_task(scorer.score("x"))
        await until_scoring(scorer, 1)
        scoring.cancel()
        await until_scoring(scorer, 0)
        assert scoring.cancelled()


async def test_the_end_of_the_fork_server_proves_nothing_and_the_next_one_scores() -> None:
    async with isolated(service_seconds=1.0) as scorer:
        scoring = asyncio.create_task(scorer.score("x"))
        await until_scoring(scorer, 1)
        [child] = scoring_processes(scorer)
        assert scorer._server is not None
        os.kill(scorer._server.pid, signal.SIGKILL)
        child.kill()
        with pytest.raises(NotIsolatedError):
            await scoring
        assert (await scorer.score("x")).value == score_of_payload("x")


async def test_a_worker_that_is_gone_leaves_no_process() -> None:
    async with isolated(service_seconds=600.0) as scorer:
        scoring = asyncio.create_task(scorer.score("x"))
        await until_scoring(scorer, 1)
        assert scorer._control is not None
        left = [psutil.Process(scorer._server.pid), *scoring_processes(scorer)]  # type: ignore[union-attr]
        scorer._control.close()  # as the kernel does for a process that dies

        async def gone() -> bool:
            return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in left)

        await until(gone, within_seconds=20, what="nothing is left")
        with pytest.raises(NotIsolatedError):
            await scoring


async def test_a_scoring_process_knows_no_password_of_a_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "postgresql://u:Hidden123@127.0.0.1/db"
    monkeypatch.setenv("DATABASE_URL", secret)
    async with isolated(database_url=secret, service_seconds=600.0) as scorer:
        scoring = asyncio.create_task(scorer.score("x"))
        await until_scoring(scorer, 1)
        [child] = scoring_processes(scorer)
        assert "DATABASE_URL" not in child.environ()
        assert not scorer._settings.database_url
        scoring.cancel()
        await asyncio.gather(scoring, return_exceptions=True)
