"""How many workers a pipeline needs: what was observed in, a decision with its reasons out.

Read `decide` first; ``docs/autoscaling.md`` has it in words and formulas, ``docs/decisions``
(0012) why it is so. `shortlist up` and the Kubernetes operator call it every ``intervalSeconds``,
by `controller`, and carry `ScalingMemory` from call to call. A caller that was killed starts with
an empty one: replicas are then held until enough has been seen again.

It must never: scale in while the line cannot be read, while paused or while ``pauseScaleIn``; take
what looks like a lull for one while Postgres cannot be read, when ingest refuses; let workers
outnumber the connections; or need anything that is lost with the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from shortlist.domain.sizing import arrivals
from shortlist.domain.sizing.pipeline import SimulatedScorerSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.sizing.fleet import WorkerReport
    from shortlist.domain.sizing.pipeline import ScoringPipeline

_TWO_DIGITS = 10
"""From here on a rate is shown without its decimal."""

LimitedBy = Literal[
    "minReplicas",
    "maxReplicas",
    "connections",
    "maxInFlight",
    "throttled",
    "metrics",
    "pauseScaleIn",
    "dryRun",
    "paused",
]
"""Why the replicas are not what the demand asks for."""

ROUNDING_SLACK = 0.05
"""A worker is not started for so small a part of it: with 10 slots, half a slot."""

DEFAULT_START_SECONDS = 8.0
"""How long a worker takes to start, until the first was seen: a pod with its image at hand."""

LONGEST_HORIZON_SECONDS = 60.0
"""No look ahead goes further, however long workers take to start."""

PRIOR_SERVICE_SECONDS = 5.0
"""Service time before the first application is done, where the resource does not say: a short
structured answer of a model."""

PRIOR_WEIGHT = 10
"""Applications that the prior counts for: one worker's first round outweighs it."""

SERVICE_MEMORY = 200
"""Applications after which a service time is forgotten to 1/e. An average so weighted is worth
2 · 200 of them: with a coefficient of variation of 0.5 its error is 0.5/√400 = 2.5 %, well below
one worker in ten. It is work that is counted, not time: an idle night forgets nothing."""

REGRET_REPLICAS = 3
"""Letting go of so many and needing half of them again is a mistake; less than that is noise."""

REGRET_MARGIN = 1.25
"""How much longer than the gap that was regretted workers are kept from then on."""

REGRET_FACTOR = 2.0
"""They are never kept longer than so many windows. Starting a worker again costs its start twice
over (the wait for it, and what piled up by then), some 30 replica-seconds; keeping it for the
45 s of a second window costs little more. Beyond that, letting go is cheaper."""

REGRET_MEMORY_WINDOWS = 4.0
"""After so many windows in which keeping them was of no use it ends: two of the longest gaps."""


class LineReading(NamedTuple):
    """What Redis says of a pipeline's line."""

    submissions: int
    """Applications accepted, ever; smaller than before means that Redis lost its memory."""
    waiting: int
    """Q: in the line, not yet taken by a worker."""
    oldest_age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a pipeline."""

    now: float
    """Seconds on any clock that only goes forward."""
    replicas: int
    """What is set now: starting, ready and draining workers; not those on their way out."""
    workers: tuple[WorkerReport, ...] = ()
    """Those that report, ready or not; as last known while Redis cannot be read."""
    starting_ages_seconds: tuple[float, ...] = ()
    """How long ago each worker was asked for that is not ready yet."""
    line: LineReading | None = None
    """None: Redis cannot be read."""
    budget: int | None = None
    """B: connections that this pipeline's workers may hold. None: Postgres cannot be read."""
    start_p90_seconds: float | None = None
    """H: how long workers took of late from being asked for to ready, 90th percentile."""
    throttled: bool = False
    """The model asked the whole pipeline to wait: more workers would only wait with it."""

    @property
    def in_flight(self) -> int:
        """I: being scored."""
        return sum(worker.in_flight for worker in self.workers)

    @property
    def ready(self) -> int:
        """Workers that take from the line."""
        return sum(worker.pulls for worker in self.workers)

    @property
    def draining(self) -> int:
        """Workers that take nothing more."""
        return sum(worker.draining for worker in self.workers)


class Need(NamedTuple):
    """Workers that were needed at a time."""

    at: float
    replicas: int


class Work(NamedTuple):
    """A worker's counters when last seen."""

    busy_seconds: float
    ended: int


@dataclass(frozen=True, slots=True)
class ScalingMemory:
    """What a decision leaves for the next one. Empty at the start; losing it costs caution."""

    arrivals: tuple[arrivals.Sample, ...] = ()
    counters: Mapping[str, Work] = field(default_factory=dict)
    busy_seconds: float = 0.0
    """Weighted sum, see `SERVICE_MEMORY`; ÷ ``ended`` it is the service time."""
    ended: float = 0.0
    needs: tuple[Need, ...] = ()
    """What the rate of each moment needed: newest last, without those that a newer one exceeds."""
    forecasts: tuple[Need, ...] = ()
    """What was needed to meet a backlog or a trend, in the same form."""
    active_at: float | None = None
    """When anything last arrived, waited or ran."""
    hold_seconds: float = 0.0
    """How long what was needed is kept: downWindowSeconds, longer after a regret."""
    regret_at: float | None = None
    """When keeping longer was last of use, or would have been."""
    failures: int = 0
    """Looks in a row that could not read the line."""
    budget: int | None = None
    """B as last read."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The inputs of a decision, as far as they are worth showing. Rates are per second."""

    waiting: int
    in_flight: int
    oldest_age_seconds: float
    arrival_rate: float
    """λ, now."""
    forecast_rate: float
    """λ when a worker that is asked for now would be ready."""
    service_seconds: float
    """S̄, measured."""
    forecast_waiting: float
    """Q when a worker that is asked for now would be ready, with the workers there are."""
    slots: float
    """Applications at once that the forecast needs."""
    horizon_seconds: float
    """H."""


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """What to do, and why."""

    replicas: int
    """To be set now; what exceeds the present ones is started, what is missing is drained."""
    wanted: int
    """What would be set if nothing but limits stood in the way: in a dry run, while paused."""
    reason: str
    """As in ``41/s arriving, 120 waiting, drain target 4 s``."""
    limited_by: LimitedBy | None
    demand: Demand | None
    """None while the line cannot be read."""
    memory: ScalingMemory
    """For the next call."""


def decide(
    observation: Observation, pipeline: ScoringPipeline, memory: ScalingMemory
) -> ScalingDecision:
    """Decide how many workers there should be.

    Estimate the demand; what it needs now, and what it will need when a worker that is asked for
    now is ready; up at once, down no further than what was needed of late; within the limits; and
    as the mode allows.
    """
    if observation.budget is not None:
        memory = replace(memory, budget=observation.budget)
    limit = _limit(observation, pipeline, memory)
    if observation.line is None:
        decision = _without_metrics(observation, pipeline, memory, limit)
    else:
        memory = _observe(observation, observation.line, pipeline, memory)
        demand = _demand(observation, observation.line, pipeline, memory)
        decision = _for_demand(observation, pipeline, memory, demand, limit)
    return _as_mode_allows(observation, pipeline, decision)


def _for_demand(
    observation: Observation,
    pipeline: ScoringPipeline,
    memory: ScalingMemory,
    demand: Demand,
    limit: _Limit,
) -> ScalingDecision:
    offered = demand.arrival_rate * demand.service_seconds
    rate_needs = _workers_for(_staffed(offered, pipeline), pipeline)
    forecast_needs = _workers_for(demand.slots, pipeline)
    is_awake = (
        memory.active_at is not None
        and observation.now - memory.active_at < pipeline.scaling.idle_seconds
    )
    least = max(pipeline.scaling.min_replicas, int(is_awake))
    asked = max(rate_needs, forecast_needs)
    needed = min(max(asked, least), limit.replicas)
    memory = _regret(observation, pipeline, memory, min(rate_needs, limit.replicas))
    memory = _remember_needs(observation.now, pipeline, memory, rate_needs, forecast_needs, demand)
    kept = min(max(_kept(observation.now, memory), least), limit.replicas)
    wanted = needed if needed >= observation.replicas else min(observation.replicas, kept)
    limited_by: LimitedBy | None = None
    if asked > limit.replicas:
        limited_by = limit.by
    elif asked < pipeline.scaling.min_replicas == wanted:
        limited_by = "minReplicas"
    reason = _reason(observation, pipeline, memory, demand, wanted)
    return ScalingDecision(wanted, wanted, reason, limited_by, demand, memory)


def _without_metrics(
    observation: Observation, pipeline: ScoringPipeline, memory: ScalingMemory, limit: _Limit
) -> ScalingDecision:
    """Hold; after failureThreshold failures, have at least the fallback's replicas."""
    failures = memory.failures + 1
    wanted, held = observation.replicas, "holding"
    if failures >= pipeline.fallback.failure_threshold:
        wanted = max(wanted, min(pipeline.fallback.replicas, limit.replicas))
        held = f"at least {pipeline.fallback.replicas}"
    reason = f"the line cannot be read ({failures} in a row): {held}"
    return ScalingDecision(
        wanted, wanted, reason, "metrics", None, replace(memory, failures=failures)
    )


def _as_mode_allows(
    observation: Observation, pipeline: ScoringPipeline, decision: ScalingDecision
) -> ScalingDecision:
    current, scaling = observation.replicas, pipeline.scaling
    if scaling.mode == "Paused":
        return replace(decision, replicas=current, limited_by="paused", reason="paused")
    if scaling.mode == "DryRun":
        reason = f"dry run, {decision.wanted} wanted: {decision.reason}"
        return replace(decision, replicas=current, limited_by="dryRun", reason=reason)
    if scaling.pause_scale_in and decision.wanted < current:
        reason = f"scale-in is paused, {decision.wanted} wanted: {decision.reason}"
        return replace(decision, replicas=current, limited_by="pauseScaleIn", reason=reason)
    return decision


# What was seen


def _observe(
    observation: Observation, line: LineReading, pipeline: ScoringPipeline, memory: ScalingMemory
) -> ScalingMemory:
    """Take in one reading of the line and of the workers' counters."""
    now = observation.now
    was_lost = memory.failures >= pipeline.fallback.failure_threshold
    samples = arrivals.remember(() if was_lost else memory.arrivals, now, line.submissions)
    came = len(samples) > 1 and samples[-1].total > samples[-2].total
    is_active = came or line.waiting > 0 or observation.in_flight > 0
    is_new_to_us = memory.active_at is None and observation.replicas > 0
    needs = memory.needs
    was_blind = memory.failures or observation.budget is None
    if was_blind or not memory.needs:  # after a restart or in an outage: hold what there is
        needs = _with_need(needs, Need(now, observation.replicas), -math.inf)
    return replace(
        _count_work(observation, pipeline, memory),
        arrivals=samples,
        active_at=now if is_active or is_new_to_us else memory.active_at,
        needs=needs,
        failures=0,
    )


def _count_work(
    observation: Observation, pipeline: ScoringPipeline, memory: ScalingMemory
) -> ScalingMemory:
    """Add what the workers did since the last look to the weighted sums."""
    is_first = not memory.arrivals
    counters = {w.id: Work(w.busy_seconds, w.ended) for w in observation.workers}
    busy_seconds, ended = 0.0, 0
    for worker, work in counters.items():
        before = memory.counters.get(worker, work if is_first else Work(0.0, 0))
        if work.ended >= before.ended and work.busy_seconds >= before.busy_seconds:
            busy_seconds += work.busy_seconds - before.busy_seconds
            ended += work.ended - before.ended
    if is_first:
        prior = _prior_service_seconds(pipeline)
        return replace(
            memory, counters=counters, busy_seconds=prior * PRIOR_WEIGHT, ended=PRIOR_WEIGHT
        )
    decay = math.exp(-ended / SERVICE_MEMORY)
    return replace(
        memory,
        counters=counters,
        busy_seconds=memory.busy_seconds * decay + busy_seconds,
        ended=memory.ended * decay + ended,
    )


def _prior_service_seconds(pipeline: ScoringPipeline) -> float:
    if isinstance(pipeline.scorer, SimulatedScorerSpec):
        return pipeline.scorer.service_seconds
    return PRIOR_SERVICE_SECONDS


# What it needs


def _demand(
    observation: Observation, line: LineReading, pipeline: ScoringPipeline, memory: ScalingMemory
) -> Demand:
    """Little's law for now, and for when a worker that is asked for now is ready."""
    horizon = observation.start_p90_seconds or DEFAULT_START_SECONDS
    horizon = min(max(horizon, pipeline.scaling.interval_seconds), LONGEST_HORIZON_SECONDS)
    came = arrivals.estimate(memory.arrivals)
    service = memory.busy_seconds / memory.ended
    forecast_rate = came.ahead(horizon)
    waiting = line.waiting + forecast_rate * horizon
    if service > 0:
        waiting -= _slot_seconds(observation, pipeline, horizon) / service
    if line.oldest_age_seconds > horizon + pipeline.scaling.drain_target_seconds:
        waiting = max(waiting, line.waiting)  # by now it should be gone: do not trust forecasts
    offered = forecast_rate * service
    # Q waiting never fill more than Q slots, however short the target.
    drain = max(0.0, waiting) * min(1.0, service / pipeline.scaling.drain_target_seconds)
    return Demand(
        waiting=line.waiting,
        in_flight=observation.in_flight,
        oldest_age_seconds=line.oldest_age_seconds,
        arrival_rate=came.rate,
        forecast_rate=forecast_rate,
        service_seconds=service,
        forecast_waiting=max(0.0, waiting),
        slots=max(_staffed(offered, pipeline), offered + drain),
        horizon_seconds=horizon,
    )


def _slot_seconds(observation: Observation, pipeline: ScoringPipeline, horizon: float) -> float:
    """Sum what the workers that there are, and those that start, can do until the horizon.

    A worker that was asked for x seconds ago will be there for the last x of it.
    """
    starting = sum(min(horizon, age) for age in observation.starting_ages_seconds)
    return pipeline.worker.concurrency * (observation.ready * horizon + starting)


def _staffed(offered: float, pipeline: ScoringPipeline) -> float:
    """Square-root staffing: a + β·√a slots (Halfin and Whitt, 1981)."""
    return offered + pipeline.scaling.beta * math.sqrt(offered)


def _workers_for(slots: float, pipeline: ScoringPipeline) -> int:
    return max(0, math.ceil(slots / pipeline.worker.concurrency - ROUNDING_SLACK))


# What is kept


def _regret(
    observation: Observation, pipeline: ScoringPipeline, memory: ScalingMemory, need: int
) -> ScalingMemory:
    """Keep workers longer after letting some go that were soon needed again (see REGRET_…)."""
    now, window = observation.now, pipeline.scaling.down_window_seconds
    hold, regret_at = max(memory.hold_seconds, window), memory.regret_at
    let_go = _most_since(memory.needs, -math.inf) - observation.replicas
    half = observation.replicas + let_go / 2
    kept = min(need, _most_since(memory.needs, now - hold))
    if let_go >= REGRET_REPLICAS and need >= half:
        gap = now - max(past.at for past in memory.needs if past.replicas >= half)
        hold, regret_at = max(hold, min(REGRET_FACTOR * window, REGRET_MARGIN * gap)), now
    elif kept >= _most_since(memory.needs, now - window) + REGRET_REPLICAS:
        regret_at = now  # it was of use to have kept them
    if regret_at is None or now - regret_at > REGRET_MEMORY_WINDOWS * window:
        return replace(memory, hold_seconds=window, regret_at=None)
    return replace(memory, hold_seconds=hold, regret_at=regret_at)


def _remember_needs(
    now: float,
    pipeline: ScoringPipeline,
    memory: ScalingMemory,
    needed: int,
    forecast: int,
    demand: Demand,
) -> ScalingMemory:
    """Remember needs; a forecast for as long as a worker takes to start, or a backlog to drain."""
    oldest = now - REGRET_FACTOR * pipeline.scaling.down_window_seconds
    soon = max(demand.horizon_seconds, pipeline.scaling.drain_target_seconds)
    return replace(
        memory,
        needs=_with_need(memory.needs, Need(now, needed), oldest),
        forecasts=_with_need(memory.forecasts, Need(now, forecast), now - soon),
    )


def _with_need(needs: tuple[Need, ...], need: Need, oldest: float) -> tuple[Need, ...]:
    """Add the newest; drop what is too old, and what the newest makes pointless to remember."""
    return (*(n for n in needs if n.at > oldest and n.replicas > need.replicas), need)


def _kept(now: float, memory: ScalingMemory) -> int:
    """Return the most that was needed of late."""
    rate_needs = _most_since(memory.needs, now - memory.hold_seconds)
    return max(rate_needs, _most_since(memory.forecasts, -math.inf))


def _most_since(needs: tuple[Need, ...], since: float) -> int:
    return max((need.replicas for need in needs if need.at > since), default=0)


# Within what


class _Limit(NamedTuple):
    replicas: int
    by: LimitedBy


def _limit(observation: Observation, pipeline: ScoringPipeline, memory: ScalingMemory) -> _Limit:
    """Return the most workers that may be, and what says so."""
    limits = [
        _Limit(pipeline.scaling.max_replicas, "maxReplicas"),
        _Limit(_workers_connected(observation, pipeline, memory), "connections"),
    ]
    if observation.throttled:
        limits.append(_Limit(max(observation.replicas, 1), "throttled"))
    if pipeline.connections.max_in_flight is not None:
        in_flight = pipeline.connections.max_in_flight // pipeline.worker.concurrency
        limits.append(_Limit(in_flight, "maxInFlight"))
    return min(limits, key=_replicas)


def _replicas(limit: _Limit) -> int:
    return limit.replicas


def _workers_connected(
    observation: Observation, pipeline: ScoringPipeline, memory: ScalingMemory
) -> int:
    """⌊B/(c+k)⌋. One worker may do with less: k + 1 connections let it score one at a time."""
    if memory.budget is None:
        return observation.replicas  # never seen: start none
    overhead = pipeline.connections.overhead_per_worker
    each = overhead + _connections_for_claims(observation, pipeline)
    return max(memory.budget // each, int(memory.budget > overhead))


def _connections_for_claims(observation: Observation, pipeline: ScoringPipeline) -> int:
    """``perJob``: one each. ``perWrite``: as many as the busiest worker has open, at least 1."""
    if pipeline.connections.mode == "perJob":
        return pipeline.worker.concurrency
    overhead = pipeline.connections.overhead_per_worker
    return max([1, *(worker.open_connections - overhead for worker in observation.workers)])


# In words


def _reason(
    observation: Observation,
    pipeline: ScoringPipeline,
    memory: ScalingMemory,
    demand: Demand,
    wanted: int,
) -> str:
    if wanted == 0 and demand.slots == 0:
        return f"idle for {pipeline.scaling.idle_seconds:g} s"
    parts = [f"{_rate(demand.arrival_rate)} arriving"]
    if demand.forecast_rate > demand.arrival_rate:
        parts.append(f"{_rate(demand.forecast_rate)} expected in {demand.horizon_seconds:.0f} s")
    if demand.waiting:
        parts.append(f"{demand.waiting} waiting")
        parts.append(f"drain target {pipeline.scaling.drain_target_seconds:g} s")
    else:
        parts.append(f"{demand.service_seconds:.3g} s each")
    if wanted < observation.replicas:
        parts.append(f"no more needed for {memory.hold_seconds:.0f} s")
    return ", ".join(parts)


def _rate(per_second: float) -> str:
    digits = 0 if per_second >= _TWO_DIGITS else 1
    return f"{per_second:.{digits}f}/s"
