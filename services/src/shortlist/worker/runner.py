"""Takes deliveries side by side: claim, have it scored (`attempts`), acknowledge or give back.

A suspect is scored in a process of its own, and alone when even that ended its worker.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.line.suspicion import POSTPONED_SECONDS, is_proved, must_be_alone
from shortlist.runtime import tasks
from shortlist.runtime.failpoints import failpoint
from shortlist.storage.redis.line import Entry
from shortlist.storage.trouble import Trouble
from shortlist.telemetry import metrics, traces
from shortlist.worker.claims.store import ClaimOptions, ClaimRefusedError, SuspectError
from shortlist.worker.isolation.solitude import Solitude
from shortlist.worker.scorers.call import ScorerCall
from shortlist.worker.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.domain.line.application import ApplicationId
    from shortlist.domain.line.scoring import Scorer
    from shortlist.domain.line.suspicion import Suspect
    from shortlist.storage.redis.line import Delivery, Line
    from shortlist.worker.attempts import Attempts
    from shortlist.worker.claims.store import ClaimStore
    from shortlist.worker.gate import Gate
    from shortlist.worker.outbox import Outbox
    from shortlist.worker.slots import Limits
    from shortlist.worker.state import WorkerState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scorers:
    """The scorers of one worker."""

    ordinary: Scorer
    isolated: Scorer
    """Suspects: what a payload does to the process that scores it does not reach this one."""
    most_isolated: int
    """Suspects at once."""
    start_isolation: Callable[[], Awaitable[None]]
    """Has what starts their processes started; done before a suspect is claimed.

    That takes seconds of CPU time, and a claim's time-out is for the score alone. One that ran out
    because of the start would end the attempt as an error: the suspicion would be over, and two
    more workers would die of a payload that ends them.
    """


class Runner:
    """Takes many deliveries at once, as many as there are slots."""

    def __init__(
        self,
        *,
        state: WorkerState,
        gate: Gate,
        limits: Limits,
        claims: ClaimStore,
        attempts: Attempts,
        scorers: Scorers,
        line: Line,
        outbox: Outbox,
    ) -> None:
        """Everything that one application meets on its way."""
        self._state = state
        self._gate = gate
        self._slots = limits.in_flight
        self._claims = claims
        self._attempts = attempts
        self._scorers = scorers
        self._apart = Slots(scorers.most_isolated)
        self._line = line
        self._outbox = outbox
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        self._ids: dict[ApplicationId, Delivery] = {}
        self._calls: dict[ApplicationId, ScorerCall] = {}
        self._draining = False
        self._solitude = Solitude(state)

    @property
    def deliveries(self) -> int:
        """Count the deliveries being worked on, those that wait for a slot included."""
        return len(self._tasks)

    def in_work(self) -> list[ApplicationId]:
        """List what is worked on: from before a claim until its attempt has ended."""
        return [delivery.application_id for delivery in self._tasks.values()]

    def is_known(self, delivery: Delivery) -> bool:
        """Tell whether this very delivery is being worked on."""
        return delivery in self._tasks.values()

    def start(self, delivery: Delivery) -> None:
        """Begin to work on a delivery. A second one of the same application is dropped."""
        if delivery.application_id in self._ids:
            self._outbox.acknowledge(delivery)
            return
        self._ids[delivery.application_id] = delivery
        task = asyncio.create_task(self._run(delivery))
        self._tasks[task] = delivery
        task.add_done_callback(self._done)

    def take_no_more(self) -> None:
        """Give back what is not claimed yet, and whatever else is delivered from now on."""
        self._draining = True
        self._slots.let_all_in()

    async def finish(self, grace_seconds: float) -> int:
        """Let everything end, and give back what has not within the grace; returns how many."""
        if self._tasks and grace_seconds > 0:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        interrupted = [call for call in self._calls.values() if call.interrupt("drained")]
        if self._tasks:
            await asyncio.wait(self._tasks)
        return len(interrupted)

    async def end(self) -> None:
        """Cancel what is under way: while there are connections, on which claims are let go of."""
        await tasks.end(self._tasks)

    def _done(self, task: asyncio.Task[None]) -> None:
        delivery = self._tasks.pop(task)
        self._forget(delivery)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("runner_failed", exc_info=error, application=str(delivery.application_id))

    async def _run(self, delivery: Delivery) -> None:
        await self._slots.take()
        try:
            passage = await self._gate.enter(lambda: self._draining or self._solitude.is_reserved)
            if passage is None:
                await self._give_back(delivery)
            elif passage == "probe":
                await self._probe(delivery)
            else:
                await self._traced(delivery)
        finally:
            self._slots.give_back()

    async def _probe(self, delivery: Delivery) -> None:
        """Find out whether all is still refused."""
        before = self._state.scores
        try:
            await self._traced(delivery)
        finally:
            await self._gate.leave_probe(asked=self._state.scores > before)

    async def _traced(self, delivery: Delivery) -> None:
        with traces.process_span(
            self._state.pipeline,
            delivery.application_id,
            delivery.traceparent,
            self._state.worker_id,
        ):
            await self._work(delivery)

    async def _work(self, delivery: Delivery) -> None:
        try:
            options = ClaimOptions(alone=self._is_always_alone)
            await self._claim_and_score(delivery, options, self._scorers.ordinary)
        except SuspectError as refusal:
            await self._work_on_a_suspect(delivery, refusal.suspect)

    @property
    def _is_always_alone(self) -> bool:
        return self._state.concurrency == 1

    async def _work_on_a_suspect(self, delivery: Delivery, suspect: Suspect) -> None:
        if not must_be_alone(suspect) and self._apart.free > 0:
            await self._work_apart(delivery)
        elif must_be_alone(suspect) and self._may_be_alone_with(suspect):
            await self._work_alone(delivery)
        else:
            await self._postpone(delivery)

    def _may_be_alone_with(self, suspect: Suspect) -> bool:
        return is_proved(suspect) and self._solitude.may_begin(others=len(self._tasks) - 1)

    async def _work_apart(self, delivery: Delivery) -> None:
        """Score a suspect in a process of its own, beside whatever else is done here."""
        log.info("scored_apart", application=str(delivery.application_id))
        options = ClaimOptions(alone=self._is_always_alone, suspects=True)
        await self._apart.take()
        try:
            await self._scorers.start_isolation()
            await self._claim_and_score(delivery, options, self._scorers.isolated)
        finally:
            self._apart.give_back()

    async def _work_alone(self, delivery: Delivery) -> None:
        """Score a suspect, in a process of its own, when everything else has ended here."""
        log.info("scored_alone", application=str(delivery.application_id))
        with self._solitude.reserved():
            await self._until_alone()
            await self._scorers.start_isolation()
            if self._draining:
                await self._give_back(delivery)
            else:
                options = ClaimOptions(alone=True, suspects=True)
                await self._claim_and_score(delivery, options, self._scorers.isolated)

    async def _until_alone(self) -> None:
        """Wait for all others; what is delivered meanwhile is given back."""
        while others := self._tasks.keys() - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def _postpone(self, delivery: Delivery) -> None:
        """Put a suspect off: another worker may be free for it, or this one later."""
        seconds = POSTPONED_SECONDS * random.uniform(0.5, 1.5)  # spreads load
        await self._claims.postpone(delivery.application_id, seconds)
        self._outbox.acknowledge(delivery)

    async def _claim_and_score(
        self, delivery: Delivery, options: ClaimOptions, scorer: Scorer
    ) -> None:
        call = ScorerCall(scorer)
        released = False
        try:
            async with self._claims.claim(delivery.application_id, call.lose, options) as held:
                if held is not None:  # else it is finished, or a live worker has it
                    self._calls[delivery.application_id] = call
                    try:
                        released = await self._attempts.run(held, call)
                    finally:
                        del self._calls[delivery.application_id]
        except ClaimRefusedError as refusal:
            await self._fail(delivery.application_id, str(refusal))
        if released:  # and not held any more: the worker that reads the entry must be able to claim
            await self._give_back(delivery)
        else:
            self._outbox.acknowledge(delivery)
            await failpoint("worker.after_acknowledge")

    async def _fail(self, application_id: ApplicationId, reason: str) -> None:
        """Fail what cannot be claimed: there is no attempt that could end."""
        log.warning("failed", application=str(application_id), reason=reason)
        if await self._claims.fail(application_id, reason):
            metrics.COMPLETED.labels(self._state.pipeline, "failed").inc()
            self._outbox.announce(application_id, "failed")

    def _forget(self, delivery: Delivery) -> None:
        """Forget a delivery: another one of the same application is no double any more."""
        if self._ids.get(delivery.application_id) is delivery:
            del self._ids[delivery.application_id]

    async def _give_back(self, delivery: Delivery) -> None:
        """Put a delivery before all newcomers; if Redis is away, maintenance finds it."""
        self._forget(delivery)  # our own puller may be the next that is given it
        entry = Entry(delivery.application_id, delivery.traceparent)
        trouble = Trouble("giving back", "redis")
        try:
            await self._line.republish([entry], by="drain", first=True)
        except Exception as error:  # it is found: Postgres knows that it was released
            trouble.met(error)
            return
        finally:
            trouble.over()
        self._outbox.acknowledge(delivery)
