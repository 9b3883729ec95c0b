from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shortlist.domain.sizing.fleet import WorkerReport
from shortlist.domain.sizing.pipeline import (
    ClaudeScorerSpec,
    ConnectionsSpec,
    FallbackSpec,
    ScalingSpec,
    ScoringPipeline,
    SimulatedScorerSpec,
    WorkerSpec,
)
from shortlist.domain.sizing.scaling import (
    PRIOR_SERVICE_SECONDS,
    LineReading,
    Observation,
    ScalingDecision,
    ScalingMemory,
    decide,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

PLENTY = 100_000
DEFAULT = ScoringPipeline()


def pipeline(**scaling: object) -> ScoringPipeline:
    return replace(DEFAULT, scaling=replace(ScalingSpec(), **scaling))  # type: ignore[arg-type]


@dataclass
class World:
    """Feeds `decide` second by second and obeys it: workers are there at once, or not at all."""

    pipeline: ScoringPipeline = DEFAULT
    now: float = 1000.0
    replicas: int = 0
    submissions: int = 0
    waiting: int = 0
    in_flight: int = 0
    budget: int | None = PLENTY
    redis: bool = True
    start_seconds: float = 8.0
    service_seconds: float = 1.5
    throttled: bool = False
    memory: ScalingMemory = field(default_factory=ScalingMemory)
    work: float = 0.0

    def observation(self) -> Observation:
        workers = tuple(
            WorkerReport(
                id=f"w{number}",
                in_flight=self.in_flight if number == 0 else 0,
                busy_seconds=self.work if number == 0 else 0.0,
                ended=int(self.work / self.service_seconds) if number == 0 else 0,
            )
            for number in range(self.replicas)
        )
        line = LineReading(self.submissions, self.waiting) if self.redis else None
        return Observation(
            now=self.now,
            replicas=self.replicas,
            workers=workers,
            line=line,
            budget=self.budget,
            start_p90_seconds=self.start_seconds,
            throttled=self.throttled,
        )

    def second(self, arriving: int = 0) -> ScalingDecision:
        """A second passes; so many arrive, and as many are done."""
        self.now += 1
        self.submissions += arriving
        self.work += arriving * self.service_seconds
        decision = decide(self.observation(), self.pipeline, self.memory)
        self.memory, self.replicas = decision.memory, decision.replicas
        return decision

    def seconds(self, arriving: Iterable[int]) -> ScalingDecision:
        decision = None
        for count in arriving:
            decision = self.second(count)
        assert decision is not None
        return decision


def test_a_waiting_line_starts_all_its_workers_at_the_first_tick() -> None:
    world = World(waiting=120)
    decision = world.second()
    # 120 waiting · 1.5 s ÷ 4 s = 45 slots of 10.
    assert decision.replicas == 5
    assert decision.limited_by is None


def test_the_reason_says_what_arrives_what_waits_and_what_is_aimed_at() -> None:
    world = World(replicas=7)
    world.seconds([41] * 40)
    world.waiting = 120
    decision = world.second(41)
    assert decision.reason == "41/s arriving, 120 waiting, drain target 4 s"
    assert decision.replicas > 7


def test_steady_arrivals_get_square_root_staffing() -> None:
    world = World()
    decision = world.seconds([20] * 120)
    # a = 20/s · 1.5 s = 30; 30 + √30 = 35.5 slots; ⌈3.55 - 0.05⌉ = 4 workers of 10.
    assert decision.replicas == 4
    assert decision.reason == "20/s arriving, 1.5 s each"


def test_headroom_buys_slots_by_the_root_of_the_load() -> None:
    world = World(pipeline=pipeline(headroom="2.5"))
    # 30 + 2.5 · √30 = 43.7 slots
    assert world.seconds([20] * 120).replicas == 5


def test_a_surge_is_met_within_two_seconds() -> None:
    world = World()
    world.seconds([4] * 120)
    assert world.replicas == 1
    world.waiting = 50
    world.second(60)
    world.waiting = 100
    # 60/s need ⌈(90 + √90)/10⌉ = 10; what piles up until they are ready needs more.
    assert world.second(60).replicas > 10


def test_what_piled_up_is_let_go_once_it_is_done_and_the_rates_own_share_is_kept() -> None:
    world = World()
    world.seconds([4] * 120)
    world.waiting = 400
    high = world.second(60).replicas
    world.waiting = 0
    after = world.seconds([60] * 20).replicas
    assert high > after == 10


def test_a_trend_is_met_ahead() -> None:
    rising = World()
    rising.seconds([5 + second // 2 for second in range(100)])
    steady = World()
    steady.seconds([54] * 100)
    assert rising.replicas > steady.replicas == 9


def test_scale_in_waits_for_the_down_window() -> None:
    world = World()
    world.seconds([60] * 60)
    assert world.replicas == 10
    assert all(world.second(4).replicas == 10 for _ in range(43))
    decisions = [world.second(4) for _ in range(5)]
    assert decisions[-1].replicas == 1
    last_change = next(decision for decision in decisions if decision.replicas == 1)
    assert last_change.reason == "4.0/s arriving, 1.5 s each, no more needed for 45 s"


def test_an_idle_pipeline_keeps_one_worker_for_idle_seconds_and_then_none() -> None:
    world = World(pipeline=pipeline(down_window_seconds=5.0, idle_seconds=60.0))
    world.seconds([2] * 10)
    assert [world.second().replicas for _ in range(59)] == [1] * 59
    decision = world.seconds([0] * 2)
    assert decision.replicas == 0
    assert decision.reason == "idle for 60 s"


def test_what_runs_keeps_a_worker_however_long_it_takes() -> None:
    world = World(replicas=1, in_flight=1)
    assert world.seconds([0] * 600).replicas == 1


def test_an_idle_pipeline_at_zero_stays_there_when_its_scaler_starts() -> None:
    assert World(replicas=0).seconds([0] * 5).replicas == 0


def test_min_replicas_are_kept_and_named() -> None:
    world = World(pipeline=pipeline(min_replicas=2))
    decision = world.second()
    assert (decision.replicas, decision.limited_by) == (2, "minReplicas")


def test_max_replicas_limit_and_are_named() -> None:
    world = World(pipeline=pipeline(max_replicas=6), waiting=5000)
    decision = world.second()
    assert (decision.replicas, decision.limited_by) == (6, "maxReplicas")


def test_connections_limit_and_are_named() -> None:
    world = World(waiting=5000, budget=60)
    decision = world.second()
    assert (decision.replicas, decision.limited_by) == (5, "connections")  # ⌊60 ÷ (10 + 1)⌋


def test_too_few_connections_for_a_whole_worker_still_run_one() -> None:
    assert World(waiting=50, budget=2).second().replicas == 1
    decision = World(waiting=50, budget=1).second()
    assert (decision.replicas, decision.limited_by) == (0, "connections")


def test_a_lowered_budget_scales_in_at_once() -> None:
    world = World(waiting=5000, budget=110)
    assert world.second().replicas == 10
    world.budget = 40
    assert world.second().replicas == 3


def test_per_write_counts_the_connections_that_the_claims_really_need() -> None:
    shared = replace(DEFAULT, connections=ConnectionsSpec(mode="perWrite"))
    assert World(pipeline=shared, waiting=5000, budget=40).second().replicas == 20
    observation = World(pipeline=shared, waiting=5000, budget=40, replicas=1).observation()
    busy = replace(observation, workers=(WorkerReport("w0", open_connections=4),))
    assert decide(busy, shared, ScalingMemory()).replicas == 10  # ⌊40 ÷ (3 + 1)⌋


def test_max_in_flight_is_never_exceeded() -> None:
    quota = replace(DEFAULT, connections=ConnectionsSpec(max_in_flight=45))
    decision = World(pipeline=quota, waiting=5000).second()
    assert (decision.replicas, decision.limited_by) == (4, "maxInFlight")


def test_a_throttled_pipeline_gets_no_more_workers() -> None:
    world = World(waiting=500, replicas=2, throttled=True)
    decision = world.second()
    assert (decision.replicas, decision.limited_by) == (2, "throttled")
    assert World(waiting=500, throttled=True).second().replicas == 1


def test_without_postgres_the_last_known_budget_holds() -> None:
    world = World(waiting=5000, budget=60)
    world.second()
    world.budget = None
    assert world.second().replicas == 5


def test_without_postgres_and_for_a_window_after_nobody_is_taken_away() -> None:
    world = World()
    busy = world.seconds([60] * 60).replicas
    world.budget = None
    assert {world.second().replicas for _ in range(300)} == {busy}  # nothing can be accepted
    world.budget = PLENTY
    window = round(world.pipeline.scaling.down_window_seconds)
    assert {world.second().replicas for _ in range(window - 1)} == {busy}
    assert world.seconds([0] * window).replicas < busy


def test_without_postgres_a_lower_maximum_still_counts() -> None:
    world = World()
    world.seconds([60] * 60)
    world.budget = None
    world.pipeline = pipeline(max_replicas=2)
    assert world.second().replicas == 2


def test_without_postgres_ever_nobody_is_started() -> None:
    decision = World(waiting=5000, replicas=2, budget=None).second()
    assert (decision.replicas, decision.limited_by) == (2, "connections")


def test_an_unreadable_line_never_scales_in_and_falls_back_after_the_threshold() -> None:
    world = World(pipeline=replace(DEFAULT, fallback=FallbackSpec(3, 4)), replicas=2)
    world.second(4)
    world.redis = False
    found = [world.second() for _ in range(300)]
    assert [decision.replicas for decision in found[:4]] == [2, 2, 4, 4]
    assert {decision.replicas for decision in found[4:]} == {4}
    assert {decision.limited_by for decision in found} == {"metrics"}
    assert found[2].reason == "the line cannot be read (3 in a row): at least 4"


def test_the_fallback_takes_nobody_away_and_heeds_the_limits() -> None:
    many = World(replicas=9, redis=False)
    assert many.seconds([0] * 10).replicas == 9
    few = World(replicas=1, redis=False, budget=22)
    assert few.seconds([0] * 10).replicas == 2


def test_after_an_outage_what_is_there_is_held_for_a_whole_window() -> None:
    world = World()
    world.seconds([60] * 60)
    world.redis = False
    world.seconds([0] * 120)
    world.redis = True
    assert world.seconds([0] * 44).replicas == 10
    assert world.seconds([0] * 5).replicas == 0


def test_a_line_that_lost_its_memory_gives_no_wrong_rate() -> None:
    world = World()
    world.seconds([20] * 60)
    world.submissions = 0
    decision = world.second(3)
    assert decision.demand is not None
    assert decision.demand.arrival_rate == 0
    assert decision.replicas == 4
    assert world.seconds([20] * 60).replicas == 4


def test_a_killed_scaler_holds_and_then_goes_on() -> None:
    world = World()
    world.seconds([60] * 60)
    world.memory = ScalingMemory()
    assert [world.second(60).replicas for _ in range(100)] == [10] * 100
    world.memory = ScalingMemory()
    assert [world.second(4).replicas for _ in range(45)] == [10] * 45
    assert world.seconds([4] * 3).replicas == 1


def test_paused_changes_nothing_and_says_so() -> None:
    world = World(pipeline=pipeline(mode="Paused"), replicas=3, waiting=5000)
    decision = world.second()
    assert (decision.replicas, decision.limited_by, decision.reason) == (3, "paused", "paused")


def test_a_dry_run_changes_nothing_and_says_what_it_would_do() -> None:
    world = World(pipeline=pipeline(mode="DryRun"), waiting=120)
    decision = world.second()
    assert (decision.replicas, decision.wanted, decision.limited_by) == (0, 5, "dryRun")
    assert decision.reason.startswith("dry run, 5 wanted: ")


def test_paused_scale_in_still_scales_out() -> None:
    world = World(pipeline=pipeline(pause_scale_in=True))
    most = world.seconds([60] * 60).replicas
    decision = world.seconds([0] * 300)
    assert (decision.replicas, decision.wanted, decision.limited_by) == (most, 0, "pauseScaleIn")
    world.waiting = 4000
    assert world.second().replicas > most


def test_the_service_time_is_measured_whatever_the_resource_says() -> None:
    world = World(service_seconds=6.0)
    decision = world.seconds([10] * 120)
    assert decision.demand is not None
    assert decision.demand.service_seconds == pytest.approx(6.0, rel=0.02)
    assert decision.replicas == 7  # (60 + √60) ÷ 10


def test_a_model_that_turned_slow_is_noticed_while_its_first_answers_are_still_awaited() -> None:
    world = World(replicas=4)
    before = world.seconds([20] * 60)
    done = world.observation().workers[0]
    memory = world.memory
    for second in range(1, 11):  # forty slots are busy, nothing ends
        stuck = replace(done, busy_seconds=done.busy_seconds + 40.0 * second)
        seen = replace(
            world.observation(),
            now=world.now + second,
            line=LineReading(world.submissions + 20 * second, 0),
            workers=(stuck,),
        )
        decision = decide(seen, world.pipeline, memory)
        memory = decision.memory
    assert decision.demand is not None
    assert before.demand is not None
    assert decision.demand.service_seconds > 2 * before.demand.service_seconds
    assert decision.replicas > before.replicas


def test_a_claude_scorer_starts_from_a_guess() -> None:
    claude = replace(DEFAULT, scorer=ClaudeScorerSpec())
    decision = World(pipeline=claude, waiting=10).second()
    assert decision.demand is not None
    assert decision.demand.service_seconds == PRIOR_SERVICE_SECONDS


def test_a_scorer_that_takes_no_time_divides_by_nothing() -> None:
    instant = replace(DEFAULT, scorer=SimulatedScorerSpec(0.0))
    assert World(pipeline=instant, waiting=100).second(100).replicas == 1


def test_slow_scores_get_no_more_slots_than_there_are_applications() -> None:
    slow = replace(DEFAULT, scorer=SimulatedScorerSpec(60.0))
    assert World(pipeline=slow, waiting=25).second().replicas == 3


def test_a_backlog_that_should_be_gone_by_now_is_believed_more_than_any_forecast() -> None:
    seen = World(replicas=2, waiting=100).observation()
    fresh = replace(seen, line=LineReading(0, 100, 5.0))
    old = replace(seen, line=LineReading(0, 100, 13.0))  # 8 s to start, 4 s to drain
    assert decide(fresh, DEFAULT, ScalingMemory()).replicas == 2
    assert decide(old, DEFAULT, ScalingMemory()).replicas == 4


def test_workers_that_start_already_count_for_what_they_will_do() -> None:
    world = World(replicas=5, waiting=120)
    observation = replace(world.observation(), workers=())
    fresh = replace(observation, starting_ages_seconds=(0.0,) * 5)
    nearly = replace(observation, starting_ages_seconds=(7.0,) * 5)
    assert decide(fresh, DEFAULT, ScalingMemory()).wanted == 5
    there = decide(nearly, DEFAULT, ScalingMemory()).demand
    assert there is not None
    assert there.forecast_waiting == 0


def test_spikes_each_minute_are_waited_for_after_the_first_regret() -> None:
    world = World()

    def minute() -> list[int]:
        replicas = []
        for second in range(60):
            world.waiting = 200 if second == 3 else 0
            replicas.append(world.second(80 if second < 10 else 8).replicas)
        return replicas

    first, second, third = minute(), minute(), minute()
    assert min(first[20:]) == 2  # let go after 45 s, and missed
    assert min(second[20:]) == min(third) == 14  # what 80/s need is kept for the next one
    world.seconds([8] * 300)
    assert world.memory.regret_at is None
    assert world.replicas == 2


# Properties

pipelines = st.builds(
    ScoringPipeline,
    worker=st.builds(WorkerSpec, concurrency=st.integers(1, 50)),
    scorer=st.one_of(
        st.builds(SimulatedScorerSpec, st.floats(0, 100)), st.builds(ClaudeScorerSpec)
    ),
    scaling=st.builds(
        ScalingSpec,
        min_replicas=st.integers(0, 3),
        max_replicas=st.integers(3, 40),
        drain_target_seconds=st.floats(0.1, 100),
        headroom=st.floats(0, 5).map("{:.3f}".format),
        down_window_seconds=st.floats(0, 100),
        idle_seconds=st.floats(0, 100),
        mode=st.sampled_from(["Auto", "Auto", "Auto", "DryRun", "Paused"]),
        pause_scale_in=st.booleans(),
    ),
    connections=st.builds(
        ConnectionsSpec,
        mode=st.sampled_from(["perJob", "perWrite"]),
        overhead_per_worker=st.integers(1, 3),
        max_in_flight=st.none() | st.integers(1, 500),
    ),
    fallback=st.builds(FallbackSpec, st.integers(1, 5), st.integers(0, 10)),
)
workers = st.lists(
    st.builds(
        WorkerReport,
        id=st.sampled_from([f"w{number}" for number in range(50)]),
        ready=st.booleans(),
        draining=st.booleans(),
        in_flight=st.integers(0, 50),
        busy_seconds=st.floats(0, 1e6),
        ended=st.integers(0, 10**6),
        open_connections=st.integers(0, 60),
    ),
    max_size=10,
    unique_by=lambda worker: worker.id,
).map(tuple)


@st.composite
def histories(draw: st.DrawFn) -> list[Observation]:
    """Anything that could be seen, in an order of time."""
    now = draw(st.floats(0, 1e9))
    seen = []
    for _ in range(draw(st.integers(1, 8))):
        now += draw(st.floats(0.01, 200))
        line = st.builds(
            LineReading, st.integers(0, 10**9), st.integers(0, 10**6), st.floats(0, 1e5)
        )
        seen.append(
            Observation(
                now=now,
                replicas=draw(st.integers(0, 60)),
                workers=draw(workers),
                starting_ages_seconds=tuple(draw(st.lists(st.floats(0, 600), max_size=5))),
                line=draw(st.none() | line),
                budget=draw(st.none() | st.integers(-5, 1000)),
                start_p90_seconds=draw(st.none() | st.floats(0.01, 600)),
                throttled=draw(st.booleans()),
            )
        )
    return seen


@settings(max_examples=60)
@given(pipelines, histories())
def test_whatever_is_seen_the_decision_keeps_the_rules(
    spec: ScoringPipeline, history: list[Observation]
) -> None:
    memory = ScalingMemory()
    for seen in history:
        decision = decide(seen, spec, memory)
        assert decide(seen, spec, memory) == decision  # nothing but the arguments matters
        memory = decision.memory
        assert decision.reason
        assert decision.replicas >= 0
        may_scale_in = seen.line is not None and not spec.scaling.pause_scale_in
        if spec.scaling.mode != "Auto":
            assert decision.replicas == seen.replicas
        elif not may_scale_in:
            assert decision.replicas >= seen.replicas
        if decision.replicas != seen.replicas or (spec.scaling.mode == "Auto" and may_scale_in):
            assert_within_the_limits(decision, seen, spec)


def assert_within_the_limits(
    decision: ScalingDecision, seen: Observation, spec: ScoringPipeline
) -> None:
    assert decision.replicas <= spec.scaling.max_replicas
    if spec.connections.max_in_flight is not None:
        in_flight = decision.replicas * spec.worker.concurrency
        assert in_flight <= spec.connections.max_in_flight
    if seen.budget is not None:
        overhead = spec.connections.overhead_per_worker
        each = overhead + (spec.worker.concurrency if spec.connections.mode == "perJob" else 1)
        assert decision.replicas * min(each, overhead + 1) <= max(0, seen.budget)
        assert decision.replicas <= 1 or decision.replicas * each <= seen.budget


@settings(max_examples=60)
@given(pipelines, histories(), st.integers(1, 10**6))
def test_a_longer_line_never_gets_fewer_workers(
    spec: ScoringPipeline, history: list[Observation], more: int
) -> None:
    memory = ScalingMemory()
    for seen in history:
        decision = decide(seen, spec, memory)
        if seen.line is not None:
            longer = seen.line._replace(waiting=seen.line.waiting + more)
            assert decide(replace(seen, line=longer), spec, memory).wanted >= decision.wanted
        memory = decision.memory


@settings(max_examples=60)
@given(pipelines, histories())
def test_while_anything_waits_there_is_a_worker_unless_a_limit_says_no(
    spec: ScoringPipeline, history: list[Observation]
) -> None:
    spec = replace(spec, scaling=replace(spec.scaling, mode="Auto", idle_seconds=60.0))
    memory = ScalingMemory()
    for seen in history:
        decision = decide(seen, spec, memory)
        if seen.line is not None and seen.line.waiting > 0 and decision.replicas == 0:
            allowed = World(pipeline=spec, waiting=10**6, budget=seen.budget).second()
            assert allowed.replicas == 0
        memory = decision.memory


class ScalingMachine(RuleBasedStateMachine):
    """A pipeline under a changing load whose scaler may be killed at any moment."""

    @initialize(window=st.integers(2, 20), seed=st.integers(0, 1000))
    def begin(self, window: int, seed: int) -> None:
        spec = pipeline(down_window_seconds=float(window), idle_seconds=10.0)
        self.world = World(pipeline=spec)
        self.window = window
        self.chance = random.Random(seed)
        self.killed_at, self.found = -math.inf, 0
        self.world.budget = PLENTY

    @rule(rate=st.sampled_from([0, 1, 5, 20, 100]), seconds=st.integers(1, 15))
    def load(self, rate: int, seconds: int) -> None:
        for _ in range(seconds):
            decision = self.world.second(self.chance.randint(rate // 2, rate + rate // 2))
            assert decision.demand is not None
            if self.world.now - self.killed_at < self.window:
                # If there were connections for fewer, it holds those until load wants more.
                self.found = min(self.found, self.most_connected())
                assert decision.replicas >= self.found

    def most_connected(self) -> int:
        budget = self.world.memory.budget
        return 0 if budget is None else max(budget // 11, int(budget > 1))

    @rule()
    def kill(self) -> None:
        """The controller that starts then holds what it finds, for a window."""
        self.world.memory = ScalingMemory()
        self.killed_at, self.found = self.world.now, self.world.replicas

    @rule(waiting=st.sampled_from([0, 1, 50, 1000]))
    def wait_in_line(self, waiting: int) -> None:
        self.world.waiting = waiting

    @rule(budget=st.sampled_from([None, 0, 5, 60, PLENTY]))
    def connections(self, budget: int | None) -> None:
        self.world.budget = budget

    @rule(seconds=st.integers(1, 30))
    def lose_redis(self, seconds: int) -> None:
        self.world.redis = False
        before = self.world.replicas
        for _ in range(seconds):
            assert self.world.second().replicas >= before
        self.world.redis = True

    @invariant()
    def within_the_connections(self) -> None:
        if hasattr(self, "world") and self.world.budget is not None:
            replicas = decide(
                replace(self.world.observation(), now=self.world.now + 1),
                self.world.pipeline,
                self.world.memory,
            ).replicas
            assert replicas <= 1 or replicas * 11 <= self.world.budget


ScalingMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestScalingMachine = ScalingMachine.TestCase


def test_the_same_history_gives_the_same_decisions() -> None:
    counts = [random.Random(7).randrange(40) for _ in range(300)]
    first, second = World(), World()
    for one, other in itertools.zip_longest(
        (first.second(count) for count in counts), (second.second(count) for count in counts)
    ):
        assert one == other
