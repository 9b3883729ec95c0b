"""One attempt, from its claim to its end: score, write the verdict, or decide on another attempt.

Whatever happens, an attempt has ended when `Attempts.run` returns: none stays "scoring".
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, assert_never

import structlog

from shortlist.domain.line.application import Verdict
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
    ScoringError,
    TemporaryScoringError,
    ThrottledError,
)
from shortlist.domain.line.suspicion import CONVICTED_AFTER_CRASHES, why_crashed
from shortlist.runtime.failpoints import failpoint
from shortlist.storage.faults import Fault, describe, fault_of
from shortlist.storage.trouble import Trouble
from shortlist.telemetry import metrics, traces
from shortlist.worker.claims.store import ClaimLostError
from shortlist.worker.scorers.call import ScoringInterruptedError

if TYPE_CHECKING:
    from shortlist.domain.line.retry import FailureKind
    from shortlist.worker.claims.store import HeldClaim
    from shortlist.worker.gate import Gate
    from shortlist.worker.outbox import Outbox
    from shortlist.worker.scorers.call import Interruption, ScorerCall
    from shortlist.worker.slots import Limits
    from shortlist.worker.state import WorkerState

log = structlog.get_logger(__name__)


class Attempts:
    """Runs the attempts of one worker, many side by side."""

    def __init__(
        self,
        *,
        state: WorkerState,
        gate: Gate,
        limits: Limits,
        outbox: Outbox,
        policy: RetryPolicy,
        score_timeout_seconds: float,
    ) -> None:
        """``score_timeout_seconds`` bounds one call of a scorer."""
        self._state = state
        self._gate = gate
        self._slots = limits.in_flight
        self._scoring_slots = limits.scoring
        self._outbox = outbox
        self._policy = policy
        self._score_timeout_seconds = score_timeout_seconds

    async def run(self, held: HeldClaim, call: ScorerCall) -> bool:
        """Run one attempt to its end, whatever goes wrong; returns whether it was released."""
        try:
            return await self._attempt(held, call)
        except ClaimLostError:
            self._report_lost(held)
        except Exception as error:  # whatever it is, nothing may stay "scoring"
            log.exception("attempt_broke", application=str(held.claim.application_id))
            await self._end_for_certain(held, error)
        return False

    async def _end_for_certain(self, held: HeldClaim, error: Exception) -> None:
        """Let go of a claim only when its attempt has ended: a lease would keep it "scoring"."""
        trouble = Trouble("ending a broken attempt", "postgres")
        try:
            for end in chain([self._end_broken], repeat(self._put_aside)):
                try:
                    await end(held, error)
                except Exception as refusal:  # it is logged, and tried again
                    await trouble.wait(trouble.met(refusal))
                else:
                    return
        finally:
            trouble.over()

    async def _end_broken(self, held: HeldClaim, error: Exception) -> None:
        """End an attempt whose task fails: for good by the item's own trouble, else as a bug."""
        reason = describe(error)
        try:
            if fault_of(error) is Fault.ITEM:
                await self._act(held, GiveUp(), "errored", f"refused for its data: {reason}")
            else:
                await self._count_error(held, "bug", reason)
        except ClaimLostError:
            self._report_lost(held)

    async def _put_aside(self, held: HeldClaim, error: Exception) -> None:
        """End an attempt that cannot be ended as it should: even its failure may be refused.

        It comes back after a long while, and keeps no slot until then.
        """
        try:
            await self._act(held, TryAgain(BUG_CEILING_SECONDS), "errored", describe(error))
        except ClaimLostError:
            self._report_lost(held)

    def _report_lost(self, held: HeldClaim) -> None:
        metrics.FENCED.labels(self._state.pipeline).inc()
        log.info("claim_lost", application=str(held.claim.application_id))

    async def _attempt(self, held: HeldClaim, call: ScorerCall) -> bool:
        """Tell whether the attempt was released."""
        try:
            await failpoint("worker.after_claim")
            self._outbox.announce(held.claim.application_id, "scoring")
            await self._score_and_complete(held, call)
            await failpoint("worker.after_complete")
        except ScoringInterruptedError as interruption:
            return await self._interrupted(held, interruption.why)
        return False

    async def _score_and_complete(self, held: HeldClaim, call: ScorerCall) -> None:
        try:
            score = await self._score(held, call)
        except ScoringError as error:
            await self._failed_attempt(held, error)
            return
        await self._gate.answered()
        await failpoint("worker.before_complete")
        claim = held.claim
        await self._complete(
            held,
            Verdict(claim.application_id, claim.attempt, "scored", score.value, None, score.detail),
        )

    async def _score(self, held: HeldClaim, call: ScorerCall) -> Score:
        await self._scoring_slots.take()
        started = time.monotonic()
        ticket = id(call)
        self._state.busy_since[ticket] = started
        self._state.scores += 1
        try:
            with traces.score_span(call.scorer.name):
                return await call.run(held.claim.payload, self._score_timeout_seconds)
        finally:
            self._scoring_slots.give_back()
            self._slots.leave_soon()
            del self._state.busy_since[ticket]
            seconds = time.monotonic() - started
            self._state.busy_seconds += seconds
            metrics.SCORE_SECONDS.labels(self._state.pipeline).observe(seconds)

    async def _complete(self, held: HeldClaim, verdict: Verdict) -> None:
        """Write a verdict; one that is refused for its data becomes a failure that says so."""
        try:
            await self._write(held, verdict)
        except Exception as error:
            if verdict.status == "failed" or fault_of(error) is not Fault.ITEM:
                raise
            reason = f"Postgres refuses the score: {describe(error)}"
            log.warning("failed", application=str(verdict.application_id), reason=reason)
            await self._write(
                held, Verdict(verdict.application_id, verdict.attempt, "failed", None, reason)
            )

    async def _write(self, held: HeldClaim, verdict: Verdict) -> None:
        with traces.database_span("complete"):
            await held.complete(verdict)
        claim = held.claim
        latency = claim.waited_seconds + time.monotonic() - claim.claimed_at
        self._state.finished(verdict.status, latency)
        metrics.COMPLETED.labels(self._state.pipeline, verdict.status).inc()
        metrics.SUBMIT_TO_SCORED_SECONDS.labels(self._state.pipeline).observe(latency)
        self._outbox.announce(verdict.application_id, verdict.status)

    async def _failed_attempt(self, held: HeldClaim, error: ScoringError) -> None:
        """Retry later or give up, as the policy says."""
        if isinstance(error, RefusedError):
            await self._gate.refuse(error)
            await self._put_off(held, error, 0.0)
        elif isinstance(error, CrashedError):
            await self._count_crash(held, error)
        elif isinstance(error, NotIsolatedError) or (
            isinstance(error, TemporaryScoringError) and self._gate.refused is not None
        ):
            await self._put_off(held, error, 0.0)  # no moment to blame an application
        elif isinstance(error, ThrottledError):
            await self._gate.pause(error.retry_after_seconds)
            await self._put_off(held, error, error.retry_after_seconds)
        elif isinstance(error, PermanentScoringError):
            await self._gate.answered()
            await self._count_error(held, "permanent", str(error))
        else:
            await self._count_error(held, "temporary", str(error))

    async def _put_off(self, held: HeldClaim, error: ScoringError, seconds: float) -> None:
        """Put the application off at no cost: what happened was not its doing."""
        decision = decide_retry(
            "throttled",
            errors=0,
            chance=_chance(),
            policy=self._policy,
            throttled=await held.attempts_ended("throttled") + 1,
            retry_after_seconds=min(seconds, LONGEST_PAUSE_SECONDS),
        )
        await self._act(held, decision, "throttled", str(error))

    async def _count_error(self, held: HeldClaim, kind: FailureKind, reason: str) -> None:
        errors = await held.attempts_ended("errored") + 1
        asks = asks_for_others(kind, errors, self._policy)
        decision = decide_retry(
            kind,
            errors=errors,
            chance=_chance(),
            policy=self._policy,
            others_end=asks and await held.others_scored(),
        )
        await self._act(held, decision, "errored", reason)

    async def _count_crash(self, held: HeldClaim, error: CrashedError) -> None:
        """Count a crash: its own doing, as this worker lives; but once may be from outside."""
        crashes = await held.attempts_ended("crashed") + 1
        decision = decide_retry(
            "temporary",
            errors=crashes,
            chance=_chance(),
            policy=replace(self._policy, max_attempts=CONVICTED_AFTER_CRASHES),
        )
        if isinstance(decision, GiveUp):
            metrics.POISONOUS.labels(self._state.pipeline).inc()
        await self._act(held, decision, "crashed", why_crashed(str(error), crashes=crashes))

    async def _act(
        self, held: HeldClaim, decision: TryAgain | GiveUp, outcome: str, reason: str
    ) -> None:
        claim = held.claim
        metrics.ATTEMPTS_ENDED.labels(self._state.pipeline, outcome).inc()
        if isinstance(decision, GiveUp):
            log.warning("failed", application=str(claim.application_id), reason=reason)
            await self._complete(
                held,
                Verdict(claim.application_id, claim.attempt, "failed", None, reason or outcome),
            )
        elif isinstance(decision, TryAgain):
            self._state.retried += 1
            await held.end(outcome, reason, decision.delay_seconds)
            self._outbox.announce(claim.application_id, "pending")
        else:
            assert_never(decision)

    async def _interrupted(self, held: HeldClaim, why: Interruption) -> bool:
        """End an interrupted attempt; returns whether it was ours to release."""
        if why == "lost":
            metrics.FENCED.labels(self._state.pipeline).inc()
            return False
        if why == "drained":
            metrics.ATTEMPTS_ENDED.labels(self._state.pipeline, "released").inc()
            try:
                await held.end("released", "the worker stopped", None)
            except ClaimLostError:
                return False
            self._outbox.announce(held.claim.application_id, "pending")
            return True
        assert_never(why)


def _chance() -> float:
    return random.random()  # spreads load
