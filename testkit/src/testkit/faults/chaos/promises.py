"""What must hold whatever happens: sampled while it happens, and judged when it is over."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from shortlist.domain.sizing.connections import claims_for, connections_wanted
from shortlist.storage.faults import is_outage
from testkit.faults.chaos.chaos import (
    COMMIT_TIMEOUT_SECONDS,
    CONCURRENCY,
    MOST_WORKERS,
    SCORE_TIMEOUT_SECONDS,
    worker_ids,
)
from testkit.faults.chaos.outside import POISONOUS
from testkit.faults.whole import WHOLE_AGAIN_SECONDS
from testkit.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testkit.faults.chaos.chaos import Chaos
    from testkit.faults.chaos.fault import Fault
    from testkit.processes.stack import Service

MOST_WASTED = 0.01
"""Of all attempts: those that gave no score, though no fault excuses it."""

LONGEST_SCORING_SECONDS = SCORE_TIMEOUT_SECONDS + 5 + 5
"""A score's own time-out (a hang takes as long), the promise of `perWrite`, and as long as a
worker may wait before it asks a server or the model again; without the time that faults excuse."""

DEATHS_OF_A_POISON = 3
"""Two make it a suspect, which dies in a process of its own. One more when a Postgres that was
killed has forgotten one of the two claims (they do not wait for the disk)."""

ANSWER_SECONDS = COMMIT_TIMEOUT_SECONDS + 0.5
"""Each client is answered by then."""

HUNG = 1
"""The exit code of the watchdog."""

_SAMPLE_SECONDS = 0.5

_SCORING = """
SELECT t.application_id::text || ' ' || t.attempt FROM attempts t
WHERE t.outcome IS NULL
  AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id)
  AND NOT EXISTS (SELECT FROM attempts n
                  WHERE n.application_id = t.application_id AND n.attempt > t.attempt)
  AND ((SELECT total FROM abandonments(t.application_id)) < 2
       OR EXISTS (SELECT FROM pg_stat_activity
                  WHERE application_name = 'shortlist-worker ' || t.worker_id::text))
"""
"""Without suspects that wait: what was abandoned twice is scored alone (decision 22)."""

_CONNECTIONS = """
SELECT application_name, count(*) FROM pg_stat_activity
WHERE application_name LIKE 'shortlist-worker %' GROUP BY 1
"""

_WITHOUT_A_SCORE = """
SELECT t.worker_id::text AS worker, a.payload,
       CASE WHEN t.outcome IS NOT NULL THEN t.outcome
            WHEN EXISTS (SELECT FROM attempts n
                         WHERE n.application_id = t.application_id AND n.attempt = t.attempt + 1
                           AND n.worker_id = t.worker_id) THEN 'claimed again'
            ELSE 'open' END AS outcome
FROM attempts t JOIN applications a ON a.id = t.application_id
WHERE NOT EXISTS (SELECT FROM results r
                  WHERE r.application_id = t.application_id AND r.attempt = t.attempt)
  AND (t.outcome IS NULL OR t.outcome = 'errored')
"""


_POISONS = "SELECT count(*) FROM results WHERE status = 'failed' AND starts_with(reason, $1)"
"""Not as many as were posted: one that was answered with 503 may be there."""


@dataclass
class Watch:
    """What was seen while faults happened."""

    chaos: Chaos
    excused: bool = False
    """Whether a fault is on that excuses what takes long."""
    unconfirmed: list[tuple[float, float]] = field(default_factory=list)
    """From when to when (monotonic seconds) Postgres may have committed what it did not confirm."""
    scoring_seconds: dict[str, float] = field(default_factory=dict)
    """For how long each attempt was seen under way, without excuse."""
    longest: tuple[float, str] = (0.0, "")
    most_connections: int = 0
    """Of one worker."""
    samples: int = 0

    @contextmanager
    def during(self, fault: Fault) -> Iterator[None]:
        """A fault is on, with what it excuses."""
        self.excused, since = "time" in fault.excuses, time.monotonic()
        try:
            yield
        finally:
            self.excused = False
            if "commits" in fault.excuses:
                self.unconfirmed.append((since, time.monotonic() + ANSWER_SECONDS))

    async def run(self) -> None:
        """Sample for ever; Postgres may be away."""
        seen = time.monotonic()
        while True:
            await asyncio.sleep(_SAMPLE_SECONDS)
            excused = self.excused
            try:
                scoring = await self.chaos.ledger.query(_SCORING)
                connections = await self.chaos.ledger.query(_CONNECTIONS)
            except Exception:  # a fault is on: what is found next counts
                continue
            now, before = time.monotonic(), seen
            seen = now
            self.samples += 1
            self._saw([row[0] for row in scoring], 0 if excused or self.excused else now - before)
            self.most_connections = max(
                self.most_connections, *(r["count"] for r in connections), 0
            )

    def _saw(self, attempts: list[str], seconds: float) -> None:
        known = self.scoring_seconds
        self.scoring_seconds = {a: known[a] + seconds if a in known else 0.0 for a in attempts}
        if self.scoring_seconds:
            longest = max(self.scoring_seconds, key=self.scoring_seconds.__getitem__)
            self.longest = max(self.longest, (self.scoring_seconds[longest], longest))

    def judge(self) -> None:
        """Nothing was under way for longer than its promise, nor over its budget."""
        seconds, which = self.longest
        assert seconds <= LONGEST_SCORING_SECONDS, f"`scoring` for {seconds:.0f} s: {which}"
        budget = connections_wanted(concurrency=CONCURRENCY, overhead=1, mode=self.chaos.mode)  # type: ignore[arg-type]
        assert self.most_connections <= budget, f"{self.most_connections} connections of a worker"


async def all_have_ended(chaos: Chaos, within_seconds: float) -> None:
    """Wait until those that are to fail have failed; applications come in meanwhile."""
    fates = sorted(chaos.ledger.fates)

    async def look() -> bool:
        sql = """SELECT count(*) FROM applications a WHERE payload = ANY($1)
            AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)"""
        try:
            return not await chaos.ledger.value(sql, fates)
        except Exception as error:
            if not is_outage(error):
                raise
            return False  # a busy machine, or a server that was just broken: look again

    await until(look, within_seconds=within_seconds, what="poison has failed", poll_seconds=0.5)


async def all_are_ready(chaos: Chaos) -> None:
    """Wait until each process is ready: in the promised time, but those that just started."""
    wanted = [s for s in chaos.stack.services if s.wanted]
    await asyncio.gather(
        *(s.ready(PATIENCE_SECONDS if _is_new(s) else WHOLE_AGAIN_SECONDS) for s in wanted)
    )


def _is_new(service: Service) -> bool:
    """Whether a fault ended it shortly before: how long a start takes is not promised."""
    return time.time() - psutil.Process(service.process.pid).create_time() < PATIENCE_SECONDS


async def assert_attempts_are_not_wasted(chaos: Chaos, watch: Watch) -> str:
    """What gave no score is excused by a fault, but for one in a hundred; returns the figures.

    A worker whose claim Postgres made, and could not say so, claims again: nothing was scored by
    the first attempt. Each time that Postgres breaks, each worker may have one such claim under
    way, of as many as it may hold.
    """
    attempts = int(await chaos.ledger.value("SELECT count(*) FROM attempts"))
    rows = await chaos.ledger.query(_WITHOUT_A_SCORE)
    innocent = [row for row in rows if row["payload"] not in chaos.ledger.fates]
    errored = sum(row["outcome"] == "errored" for row in innocent)
    left_open = Counter(row["worker"] for row in innocent if row["outcome"] == "open")
    again = sum(row["outcome"] == "claimed again" for row in innocent)
    unheard = len(watch.unconfirmed) * MOST_WORKERS * _most_held(chaos)
    wasted = (
        unexcused(left_open, chaos)
        + max(0, errored - chaos.answered_errors)
        + max(0, again - unheard)
    )
    figures = (
        f"{attempts} attempts, without a score {len(rows)}: {len(rows) - len(innocent)} of poison, "
        f"{errored} errors of the model, {again} claimed again as the answer got lost, "
        f"{left_open.total()} left open by workers; {wasted} wasted"
    )
    assert wasted <= MOST_WASTED * attempts, figures
    return figures


def unexcused(left_open: Mapping[str, int], chaos: Chaos) -> int:
    """Of attempts that were left open, those whose worker nothing befell."""
    dead = {id_ for worker in _workers(chaos) for id_ in _ids_of_the_dead(worker)}
    stopped = {id_: _most_held(chaos) * times for id_, times in chaos.frozen.items()}
    return sum(
        max(0, count - stopped.get(id_, 0)) for id_, count in left_open.items() if id_ not in dead
    )


def _most_held(chaos: Chaos) -> int:
    """Applications that one worker may hold."""
    return claims_for(CONCURRENCY, overhead=1, mode=chaos.mode)  # type: ignore[arg-type]


def _workers(chaos: Chaos) -> list[Service]:
    return [s for s in chaos.stack.services if s.role == "worker"]


def _ids_of_the_dead(worker: Service) -> list[str]:
    """The newest is still alive, or has ended in order; those before it were killed."""
    ids = worker_ids(worker)
    return ids if worker.process.poll() in _VIOLENT else ids[:-1]


_VIOLENT = {-signal.SIGKILL, HUNG}


async def assert_only_faults_ended_processes(chaos: Chaos) -> None:
    """Each that was killed was killed by a fault; each that was asked to end ended in order."""
    poisons = int(await chaos.ledger.value(_POISONS, POISONOUS))
    deaths = {s.name: [*s.deaths, *_last_words(s)] for s in chaos.stack.services}
    unexplained = Counter({name: len(codes) for name, codes in deaths.items()}) - chaos.kills
    workers = sum(unexplained.pop(s.name, 0) for s in _workers(chaos))
    assert not unexplained, f"ended by themselves: {unexplained}"
    bound = DEATHS_OF_A_POISON * poisons
    assert workers <= bound, f"{workers} deaths of workers, of {poisons} poisons: {deaths}"
    codes = Counter(code for codes in deaths.values() for code in codes)
    said = sum(s.log.count("Timeout (0:00:10)!") for s in _workers(chaos))
    assert codes.keys() <= _VIOLENT, f"crashed: {deaths}"
    assert codes[HUNG] == said, f"{codes[HUNG]} ended with 1, of them {said} by the watchdog"


def _last_words(service: Service) -> list[int]:
    """The exit code of one that was asked to end, when it did not end in order."""
    code: Any = None if service.wanted else service.process.poll()
    in_order = {None, 0, -signal.SIGTERM}  # the last: it had just begun to start
    return [] if code in in_order else [code]
