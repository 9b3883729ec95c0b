"""One application's path through a worker: claim, score, complete, acknowledge."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, Literal, assert_never

import structlog

from shortlist.domain.line.application import ApplicationId, Verdict
from shortlist.domain.line.retry import (
    BUG_CEILING_SECONDS,
    GiveUp,
    RetryPolicy,
    TryAgain,
    asks_for_others,
    decide_retry,
)
from shortlist.domain.line.scoring import (
    LONGEST_PAUSE_SECONDS,
    CrashedError,
    NotIsolatedError,
    PermanentScoringError,
    RefusedError,
    Score,
    Scorer,
    ScoringError,
    TemporaryScoringError,
    Throttled,
)
from shortlist.domain.line.suspicion import (
    CONVICTED_AFTER_CRASHES,
    POSTPONED_SECONDS,
    is_proved,
    must_be_alone,
    why_crashed,
)
from shortlist.runtime.failpoints import failpoint
from shortlist.storage.faults import Fault, fault_of, said
from shortlist.storage.redis.line import Entry
from shortlist.storage.trouble import Trouble
from shortlist.telemetry import metrics, traces
from shortlist.worker.holding import ClaimLostError, ClaimRefusedError, SuspectError
from shortlist.worker.slots import Slots
from shortlist.worker.solitude import Solitude

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.domain.line.retry import FailureKind
    from shortlist.domain.line.suspicion import Suspect
    from shortlist.storage.redis.line import Delivery, Line
    from shortlist.worker.gate import Gate
    from shortlist.worker.holding import Company, Hold, Holder
    from shortlist.worker.outbox import Outbox
    from shortlist.worker.slots import Limits
    from shortlist.worker.state import WorkerState

log = structlog.get_logger(__name__)

Interruption = Literal["lost", "drained"]


class Interrupted(Exception):  # noqa: N818 (not an error)
    """Scoring was cut short: the claim was lost, or the grace period is over."""

    def __init__(self, why: Interruption) -> None:
        """Keep why."""
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Scorers:
    """Who scores."""

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
    """Works on many deliveries at once, as many as there are slots."""

    def __init__(
        self,
        *,
        state: WorkerState,
        gate: Gate,
        limits: Limits,
        holder: Holder,
        scorers: Scorers,
        line: Line,
        outbox: Outbox,
        policy: RetryPolicy,
        score_timeout_seconds: float,
    ) -> None:
        """Everything that one application meets on its way."""
        self._state = state
        self._gate = gate
        self._slots = limits.in_flight
        self._scoring_slots = limits.scoring
        self._holder = holder
        self._scorers = scorers
        self._apart = Slots(scorers.most_isolated)
        self._line = line
        self._outbox = outbox
        self._policy = policy
        self._score_timeout_seconds = score_timeout_seconds
        self._tasks: dict[asyncio.Task[None], Delivery] = {}
        self._ids: dict[ApplicationId, Delivery] = {}
        self._scoring: dict[ApplicationId, _Scoring] = {}
        self._draining = False
        self._solitude = Solitude(state)

    @property
    def deliveries(self) -> int:
        """Deliveries being worked on, those that wait for a slot included."""
        return len(self._tasks)

    def in_work(self) -> list[ApplicationId]:
        """What is worked on: each application from before its claim until its attempt has ended."""
        return [delivery.application_id for delivery in self._tasks.values()]

    def is_known(self, delivery: Delivery) -> bool:
        """Whether this very delivery is being worked on."""
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
        """Let everything end; what has not by the end of the grace is given back. How many were."""
        if self._tasks and grace_seconds > 0:
            await asyncio.wait(self._tasks, timeout=grace_seconds)
        interrupted = [s for s in self._scoring.values() if s.interrupt("drained")]
        if self._tasks:
            await asyncio.wait(self._tasks)
        return len(interrupted)

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
            await self._claim_and_score(
                delivery, "none" if self._is_always_alone else "others", self._scorers.ordinary
            )
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
        company: Company = "none_for_a_suspect" if self._is_always_alone else "others_for_a_suspect"
        await self._apart.take()
        try:
            await self._scorers.start_isolation()
            await self._claim_and_score(delivery, company, self._scorers.isolated)
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
                await self._claim_and_score(delivery, "none_for_a_suspect", self._scorers.isolated)

    async def _until_alone(self) -> None:
        """Wait for all others; what is delivered meanwhile is given back."""
        while others := self._tasks.keys() - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def _postpone(self, delivery: Delivery) -> None:
        """Another worker may be free for a suspect, or this one later."""
        seconds = POSTPONED_SECONDS * random.uniform(0.5, 1.5)  # spreads load
        await self._holder.postpone(delivery.application_id, seconds)
        self._outbox.acknowledge(delivery)

    async def _claim_and_score(self, delivery: Delivery, company: Company, scorer: Scorer) -> None:
        scoring = _Scoring(scorer)
        released = False
        holding = self._holder.hold(delivery.application_id, scoring.lose, company)
        try:
            async with holding as hold:
                if hold is not None:  # else it is finished, or a live worker has it
                    self._scoring[delivery.application_id] = scoring
                    try:
                        released = await self._score_once(hold, scoring)
                    finally:
                        del self._scoring[delivery.application_id]
        except ClaimRefusedError as refusal:
            await self._refused(delivery.application_id, str(refusal))
        if released:  # and not held any more: the worker that reads the entry must be able to claim
            await self._give_back(delivery)
        else:
            self._outbox.acknowledge(delivery)
            await failpoint("worker.after_acknowledge")

    async def _refused(self, application_id: ApplicationId, reason: str) -> None:
        """Fail what cannot be claimed: there is no attempt that could end."""
        log.warning("failed", application=str(application_id), reason=reason)
        if await self._holder.fail(application_id, reason):
            metrics.COMPLETED.labels(self._state.pipeline, "failed").inc()
            self._outbox.announce(application_id, "failed")

    async def _score_once(self, hold: Hold, scoring: _Scoring) -> bool:
        """Whether the attempt was released. Whatever goes wrong, the attempt has ended after it."""
        try:
            return await self._attempt(hold, scoring)
        except ClaimLostError:
            self._fenced(hold)
        except Exception as error:  # whatever it is, nothing may stay "scoring"
            log.exception("attempt_broke", application=str(hold.claim.application_id))
            await self._end_for_certain(hold, error)
        return False

    async def _end_for_certain(self, hold: Hold, error: Exception) -> None:
        """Let go of a claim only when its attempt has ended: a lease would keep it "scoring"."""
        trouble = Trouble("ending a broken attempt", "postgres")
        try:
            for end in chain([self._end_broken], repeat(self._put_aside)):
                try:
                    await end(hold, error)
                except Exception as refusal:  # it is said, and tried again
                    await trouble.wait(trouble.met(refusal))
                else:
                    return
        finally:
            trouble.over()

    async def _end_broken(self, hold: Hold, error: Exception) -> None:
        """End an attempt whose task fails: for good by the item's own trouble, else as a bug."""
        reason = said(error)
        try:
            if fault_of(error) is Fault.ITEM:
                await self._act(hold, GiveUp(), "errored", f"refused for its data: {reason}")
            else:
                await self._count_error(hold, "bug", reason)
        except ClaimLostError:
            self._fenced(hold)

    async def _put_aside(self, hold: Hold, error: Exception) -> None:
        """End an attempt that cannot be ended as it should: even its failure may be refused.

        It comes back after a long while, and keeps no slot until then.
        """
        try:
            await self._act(hold, TryAgain(BUG_CEILING_SECONDS), "errored", said(error))
        except ClaimLostError:
            self._fenced(hold)

    def _fenced(self, hold: Hold) -> None:
        metrics.FENCED.labels(self._state.pipeline).inc()
        log.info("claim_lost", application=str(hold.claim.application_id))

    async def _attempt(self, hold: Hold, scoring: _Scoring) -> bool:
        """Whether the attempt was released."""
        try:
            await failpoint("worker.after_claim")
            self._outbox.announce(hold.claim.application_id, "scoring")
            await self._score_and_complete(hold, scoring)
            await failpoint("worker.after_complete")
        except Interrupted as interruption:
            return await self._interrupted(hold, interruption.why)
        return False

    async def _score_and_complete(self, hold: Hold, scoring: _Scoring) -> None:
        try:
            score = await self._score(hold, scoring)
        except ScoringError as error:
            await self._failed_attempt(hold, error)
            return
        await self._gate.answered()
        await failpoint("worker.before_complete")
        claim = hold.claim
        await self._complete(
            hold,
            Verdict(claim.application_id, claim.attempt, "scored", score.value, None, score.detail),
        )

    async def _score(self, hold: Hold, scoring: _Scoring) -> Score:
        await self._scoring_slots.take()
        started = time.monotonic()
        ticket = id(scoring)
        self._state.busy_since[ticket] = started
        self._state.scores += 1
        try:
            with traces.score_span(scoring.scorer.name):
                return await scoring.run(hold.claim.payload, self._score_timeout_seconds)
        finally:
            self._scoring_slots.give_back()
            self._slots.leave_soon()
            del self._state.busy_since[ticket]
            seconds = time.monotonic() - started
            self._state.busy_seconds += seconds
            metrics.SCORE_SECONDS.labels(self._state.pipeline).observe(seconds)

    async def _complete(self, hold: Hold, verdict: Verdict) -> None:
        """Write a verdict; one that is refused for its data becomes a failure that says so."""
        try:
            await self._write(hold, verdict)
        except Exception as error:
            if verdict.status == "failed" or fault_of(error) is not Fault.ITEM:
                raise
            reason = f"Postgres refuses the score: {said(error)}"
            log.warning("failed", application=str(verdict.application_id), reason=reason)
            await self._write(
                hold, Verdict(verdict.application_id, verdict.attempt, "failed", None, reason)
            )

    async def _write(self, hold: Hold, verdict: Verdict) -> None:
        with traces.database_span("complete"):
            await hold.complete(verdict)
        claim = hold.claim
        latency = claim.waited_seconds + time.monotonic() - claim.claimed_at
        self._state.finished(verdict.status, latency)
        metrics.COMPLETED.labels(self._state.pipeline, verdict.status).inc()
        metrics.SUBMIT_TO_SCORED_SECONDS.labels(self._state.pipeline).observe(latency)
        self._outbox.announce(verdict.application_id, verdict.status)

    async def _failed_attempt(self, hold: Hold, error: ScoringError) -> None:
        """Retry later or give up, as the policy says."""
        if isinstance(error, RefusedError):
            await self._gate.refuse(error)
            await self._put_off(hold, error, 0.0)
        elif isinstance(error, CrashedError):
            await self._count_crash(hold, error)
        elif isinstance(error, NotIsolatedError) or (
            isinstance(error, TemporaryScoringError) and self._gate.refused is not None
        ):
            await self._put_off(hold, error, 0.0)  # no moment to blame an application
        elif isinstance(error, Throttled):
            await self._gate.pause(error.retry_after_seconds)
            await self._put_off(hold, error, error.retry_after_seconds)
        elif isinstance(error, PermanentScoringError):
            await self._gate.answered()
            await self._count_error(hold, "permanent", str(error))
        else:
            await self._count_error(hold, "temporary", str(error))

    async def _put_off(self, hold: Hold, error: ScoringError, seconds: float) -> None:
        """Not this application's doing: it costs no attempt."""
        decision = decide_retry(
            "throttled",
            errors=0,
            chance=_chance(),
            policy=self._policy,
            throttled=await hold.ended("throttled") + 1,
            retry_after_seconds=min(seconds, LONGEST_PAUSE_SECONDS),
        )
        await self._act(hold, decision, "throttled", str(error))

    async def _count_error(self, hold: Hold, kind: FailureKind, reason: str) -> None:
        errors = await hold.ended("errored") + 1
        asks = asks_for_others(kind, errors, self._policy)
        decision = decide_retry(
            kind,
            errors=errors,
            chance=_chance(),
            policy=self._policy,
            others_end=asks and await hold.others_scored(),
        )
        await self._act(hold, decision, "errored", reason)

    async def _count_crash(self, hold: Hold, error: CrashedError) -> None:
        """Its own doing for certain, as this worker lives; but once may have come from outside."""
        crashes = await hold.ended("crashed") + 1
        decision = decide_retry(
            "temporary",
            errors=crashes,
            chance=_chance(),
            policy=replace(self._policy, max_attempts=CONVICTED_AFTER_CRASHES),
        )
        if isinstance(decision, GiveUp):
            metrics.POISONOUS.labels(self._state.pipeline).inc()
        await self._act(hold, decision, "crashed", why_crashed(str(error), crashes=crashes))

    async def _act(
        self, hold: Hold, decision: TryAgain | GiveUp, outcome: str, reason: str
    ) -> None:
        claim = hold.claim
        metrics.ATTEMPTS_ENDED.labels(self._state.pipeline, outcome).inc()
        if isinstance(decision, GiveUp):
            log.warning("failed", application=str(claim.application_id), reason=reason)
            await self._complete(
                hold,
                Verdict(claim.application_id, claim.attempt, "failed", None, reason or outcome),
            )
        elif isinstance(decision, TryAgain):
            self._state.retried += 1
            await hold.end(outcome, reason, decision.delay_seconds)
            self._outbox.announce(claim.application_id, "pending")
        else:
            assert_never(decision)

    async def _interrupted(self, hold: Hold, why: Interruption) -> bool:
        """Whether the attempt was ours to release."""
        if why == "lost":
            metrics.FENCED.labels(self._state.pipeline).inc()
            return False
        if why == "drained":
            metrics.ATTEMPTS_ENDED.labels(self._state.pipeline, "released").inc()
            try:
                await hold.end("released", "the worker stopped", None)
            except ClaimLostError:
                return False
            self._outbox.announce(hold.claim.application_id, "pending")
            return True
        assert_never(why)

    def _forget(self, delivery: Delivery) -> None:
        """Another delivery of the same application is no double any more."""
        if self._ids.get(delivery.application_id) is delivery:
            del self._ids[delivery.application_id]

    async def _give_back(self, delivery: Delivery) -> None:
        """Put it before all newcomers; if Redis is away, maintenance finds it."""
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


def _chance() -> float:
    return random.random()  # spreads load


class _Scoring:
    """A call of the scorer that can be interrupted, and only it: never a write."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._deadline: asyncio.Timeout | None = None
        self._why: Interruption | None = None

    def lose(self) -> None:
        """The claim is gone."""
        self.interrupt("lost")

    def interrupt(self, why: Interruption) -> bool:
        """Cut the call short if it runs, or as soon as it starts. Whether it had not ended."""
        if self._deadline is None:
            self._why = self._why or why
            return False
        if self._deadline.expired():
            return False
        self._why = self._why or why
        self._deadline.reschedule(asyncio.get_running_loop().time())
        return True

    async def run(self, payload: str, timeout_seconds: float) -> Score:
        """Score; raises `Interrupted`, or a `ScoringError` (a time-out is a temporary one)."""
        if self._why is not None:
            raise Interrupted(self._why)
        try:
            async with asyncio.timeout(timeout_seconds) as self._deadline:
                return await self.scorer.score(payload)
        except TimeoutError:
            if self._why is not None:
                raise Interrupted(self._why) from None
            raise TemporaryScoringError(f"no score after {timeout_seconds:g} s") from None
        finally:
            self._deadline = None
