"""Promise 8 among pipelines: what all of them hold, are granted and may start is never too much."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing.grants import Grant
from shortlist.domain.sizing.pipeline import ScoringPipeline, WorkerSpec
from shortlist_operator.budget import Budget
from shortlist_operator.observation import RolloutStrategy
from testkit.operator.sights import NOW, a_beat, a_line, a_pod, a_sight, postgres

if TYPE_CHECKING:
    from shortlist.storage.redis.heartbeats import Heartbeat
    from shortlist_operator.kubernetes.members import Pod
    from shortlist_operator.observation import Sight

A, B, C = (PipelineName(name) for name in "abc")
CONCURRENCY, OVERHEAD, FIRST, WANTED = 4, 1, 2, 5
NO_SURGE = RolloutStrategy(1, 0, recreates=True)
SURGE = RolloutStrategy(max_surge=1, max_unavailable=0)


def a_pipeline(name: PipelineName) -> ScoringPipeline:
    return ScoringPipeline(name=name, worker=WorkerSpec(concurrency=CONCURRENCY))


def workers(
    budget: int, *names: str, grant: int = FIRST, strategy: RolloutStrategy = NO_SURGE
) -> Sight:
    """Workers that keep to the grants that stand for them."""
    beats = [a_beat(name, grant=grant, open_connections=grant, epoch=1) for name in names]
    line = a_line(beats, {name: Grant(1, grant, grant) for name in names})
    return a_sight(line, postgres(budget), strategy=strategy)


def granted(budget: Budget, name: PipelineName, sight: Sight) -> dict[str, int]:
    room = budget.allocate(a_pipeline(name), sight, 0)
    return {worker: grant.connections for worker, grant in room.publish.items()}


def test_workers_are_granted_what_they_can_use() -> None:
    assert granted(Budget(), A, workers(100, "a1", "a2")) == {"a1": WANTED, "a2": WANTED}


def test_what_another_pipeline_holds_is_not_granted_again() -> None:
    budget = Budget()
    budget.see(a_pipeline(B), workers(10, "b1", grant=WANTED))
    assert granted(budget, A, workers(10, "a1", "a2")) == {"a1": 3}


def test_what_another_pipeline_was_just_granted_is_held_already() -> None:
    budget = Budget()
    assert granted(budget, B, workers(8, "b1")) == {"b1": WANTED}
    assert granted(budget, A, workers(8, "a1")) == {"a1": 3}


def test_only_as_many_workers_start_as_there_are_connections_for() -> None:
    sight = workers(13, "a1", grant=WANTED)
    assert Budget().allocate(a_pipeline(A), sight, 3).new_workers == 3
    assert Budget().allocate(a_pipeline(A), sight, 9).new_workers == 4
    assert Budget().allocate(a_pipeline(A), workers(4, "a1", grant=WANTED), 1).new_workers == 0


def test_workers_that_were_let_start_elsewhere_hold_their_first_grant() -> None:
    budget = Budget()
    assert budget.allocate(a_pipeline(A), workers(9, "a1", grant=WANTED), 9).new_workers == 2
    assert (
        budget.allocate(
            a_pipeline(B), a_sight(connections=postgres(9), strategy=NO_SURGE), 9
        ).new_workers
        == 0
    )


def test_a_rollouts_surge_is_kept_free() -> None:
    room = Budget().allocate(a_pipeline(A), workers(9, "a1", grant=WANTED, strategy=SURGE), 9)
    assert room.new_workers == 1


def test_the_surge_of_workers_that_are_to_start_is_kept_free() -> None:
    """From none on, and where it grows with them."""
    none = a_sight(connections=postgres(3 * FIRST), strategy=SURGE)
    budget = Budget()
    assert budget.allocate(a_pipeline(A), none, 9).new_workers == 2
    assert budget.elsewhere(B, (), {}) == 3 * FIRST
    half = a_sight(connections=postgres(6 * FIRST), strategy=RolloutStrategy("50%", 0))
    assert Budget().allocate(a_pipeline(A), half, 9).new_workers == 4


def test_another_pipelines_surge_is_kept_free_too() -> None:
    budget = Budget()
    budget.see(a_pipeline(B), workers(9, "b1", grant=WANTED, strategy=SURGE))
    assert granted(budget, A, workers(9, "a1")) == {}


def test_connections_of_workers_that_are_gone_count_until_they_are_closed() -> None:
    def left(opened: dict[str, int]) -> dict[str, int]:
        return granted(Budget(), A, replace(workers(8, "a1"), connections=postgres(8, opened)))

    assert left({"gone": 4}) == {"a1": 4}
    assert left({}) == {"a1": WANTED}


def test_connections_that_a_pipeline_holds_are_counted_once() -> None:
    budget = Budget()
    budget.see(a_pipeline(B), workers(9, "b1", grant=4))
    sight = replace(workers(9, "a1"), connections=postgres(9, {"b1": 3, "a1": 2}))
    assert granted(budget, A, sight) == {"a1": WANTED}


def test_a_pipeline_that_is_gone_holds_what_postgres_counts() -> None:
    budget = Budget()
    budget.see(a_pipeline(B), workers(8, "b1", grant=WANTED))
    budget.forget(B)
    assert budget.elsewhere(A, (), {"b1": 3}) == 3
    assert budget.elsewhere(A, (), {}) == 0


def test_nobody_is_granted_anything_before_it_is_known_what_the_others_hold() -> None:
    """After a restart: grants stand that the operator has not read yet."""
    budget = Budget()
    budget.expect(B)
    room = budget.allocate(a_pipeline(A), workers(9, "a1"), 1)
    assert (room.publish, room.new_workers) == ({}, 0)
    budget.see(a_pipeline(B), workers(9, "b1", grant=WANTED))
    assert granted(budget, A, workers(9, "a1")) == {"a1": 4}


def test_a_pipeline_that_cannot_be_looked_at_does_not_keep_the_others_for_ever() -> None:
    budget, looks = Budget(), 0
    budget.expect(B)
    while not granted(budget, A, workers(9, "a1")):
        budget.ticked(B)
        looks += 1
        assert looks <= 5
    assert looks > 1


def test_a_pipeline_that_is_deleted_before_it_was_seen_keeps_nobody() -> None:
    budget = Budget()
    budget.expect(B)
    budget.forget(B)
    assert granted(budget, A, workers(9, "a1")) == {"a1": WANTED}


def test_what_was_seen_stands_while_redis_cannot_be_read() -> None:
    budget = Budget()
    sight = workers(9, "b1", grant=WANTED)
    budget.see(a_pipeline(B), sight)
    budget.see(a_pipeline(B), replace(sight, line=None, members=()))
    assert budget.elsewhere(A, (), {}) == WANTED


def test_pipelines_count_on_shares_by_what_they_want() -> None:
    budget = Budget()
    assert budget.share(A, 100, 300) == 100
    assert budget.share(B, 100, 20) == 20
    assert budget.share(A, 100, 300) == 80
    budget.forget(B)
    assert budget.share(A, 100, 300) == 100


def test_what_a_silent_worker_holds_is_not_there_to_be_shared() -> None:
    sight = workers(12, "a1", "a2", grant=WANTED, strategy=SURGE)
    assert sight.line is not None
    alone = granted(Budget(), A, sight)
    assert alone == {}  # two times five, and a surge of two
    silent = [replace(beat, at=NOW - 60, in_flight=0) for beat in sight.line.beats[:1]]
    line = a_line([*silent, *sight.line.beats[1:]], sight.line.grants)
    gone = a_sight(line, postgres(9, {"a1": WANTED}), sight.pods[1:], replicas=1, strategy=SURGE)
    assert granted(Budget(), A, gone) == {"a2": 2}


# --- in any order


@dataclass
class Simulated:
    """A worker as `shortlist.worker.membership` is: it reports, then reads, then obeys."""

    id: str
    pod: Pod
    grant: int = FIRST
    epoch: int = 0
    open: int = 0
    in_flight: int = 0


@dataclass
class Deployment:
    """A pipeline's pods, and what is in Redis of them."""

    name: PipelineName
    replicas: int = 1
    surge_left: int = 1
    """Pods that Kubernetes may make beside the replicas before its worker's grants settle."""
    crew: dict[str, Simulated] = field(default_factory=dict)
    beats: dict[str, Heartbeat] = field(default_factory=dict)
    standing: dict[str, Grant] = field(default_factory=dict)

    @property
    def staying(self) -> list[Simulated]:
        return [worker for worker in self.crew.values() if not worker.pod.terminating]

    def begin(self, worker_id: str) -> None:
        self.crew[worker_id] = Simulated(worker_id, a_pod(f"pod-{worker_id}"))

    def beat(self, worker: Simulated) -> None:
        worker.open = max(worker.open, OVERHEAD)
        self.beats[worker.id] = a_beat(
            worker.id,
            grant=worker.grant,
            epoch=worker.epoch,
            open_connections=worker.open,
            in_flight=worker.in_flight,
        )
        if (order := self.standing.get(worker.id)) is not None:
            worker.grant = order.connections
            self.close_surplus(worker)
            if worker.open <= order.connections:
                worker.epoch = order.epoch

    def claim(self, worker: Simulated) -> None:
        if worker.open and worker.in_flight < min(CONCURRENCY, worker.grant - OVERHEAD):
            worker.in_flight += 1
            worker.open = max(worker.open, worker.in_flight + OVERHEAD)

    def finish(self, worker: Simulated) -> None:
        worker.in_flight = max(0, worker.in_flight - 1)
        self.close_surplus(worker)

    def close_surplus(self, worker: Simulated) -> None:
        used = OVERHEAD + worker.in_flight if worker.open else 0
        worker.open = max(used, min(worker.open, worker.grant))

    def forget(self, worker: Simulated) -> None:
        for kept in (self.crew, self.beats, self.standing):
            kept.pop(worker.id, None)

    def may_hold(self) -> int:
        """What its workers may open as things stand, unasked."""
        unmade = max(0, self.replicas - len(self.staying)) + self.surge_left
        return FIRST * unmade + sum(
            max(worker.grant, worker.open, self.told(worker)) for worker in self.crew.values()
        )

    def told(self, worker: Simulated) -> int:
        order = self.standing.get(worker.id)
        return 0 if order is None else order.connections


names = st.sampled_from([A, B, C])
numbers = st.integers(0, 100)


class BudgetMachine(RuleBasedStateMachine):
    """Looks and acts of three pipelines, their workers, rollouts and deaths, in any order."""

    @initialize(budget=st.integers(3 * 2 * FIRST, 50))
    def begin(self, budget: int) -> None:
        self.total = budget
        self.deployments = {name: Deployment(name) for name in (A, B, C)}
        self.ghosts: dict[str, int] = {}
        """Connections of the dead that Postgres has not noticed yet."""
        self.born = 0
        self.restart()

    @rule()
    def restart(self) -> None:
        self.budget = Budget()
        self.sights: dict[PipelineName, Sight] = {}
        for name in self.deployments:
            self.budget.expect(name)

    @rule(name=names)
    def look(self, name: PipelineName) -> None:
        of = self.deployments[name]
        opened = {
            worker.id: worker.open
            for each in self.deployments.values()
            for worker in each.crew.values()
            if worker.open
        }
        self.sights[name] = a_sight(
            a_line(list(of.beats.values()), of.standing),
            postgres(self.total, opened | self.ghosts),
            [worker.pod for worker in of.crew.values()],
            replicas=of.replicas,
        )
        self.budget.see(a_pipeline(name), self.sights[name])

    @rule(name=names, wanted=st.integers(0, 3))
    def act(self, name: PipelineName, wanted: int) -> None:
        if (sight := self.sights.pop(name, None)) is None:
            return
        room = self.budget.allocate(a_pipeline(name), sight, wanted)
        assert 0 <= room.new_workers <= wanted
        self.deployments[name].standing.update(room.publish)
        self.deployments[name].replicas += room.new_workers

    @rule(name=names)
    def make_a_pod(self, name: PipelineName) -> None:
        """One that was asked for, or a rollout's."""
        of = self.deployments[name]
        if len(of.staying) >= of.replicas:
            if not of.surge_left:
                return
            of.surge_left -= 1
        self.born += 1
        of.begin(f"{name}{self.born}")

    @rule(name=names)
    def replace_the_oldest(self, name: PipelineName) -> None:
        of = self.deployments[name]
        if len(of.staying) > of.replicas:
            oldest = of.staying[0]
            oldest.pod = replace(oldest.pod, terminating=True)

    def worker(self, name: PipelineName, number: int) -> Simulated | None:
        crew = list(self.deployments[name].crew.values())
        return crew[number % len(crew)] if crew else None

    @rule(name=names, number=numbers)
    def beat(self, name: PipelineName, number: int) -> None:
        if worker := self.worker(name, number):
            self.deployments[name].beat(worker)

    @rule(name=names, number=numbers, times=st.integers(1, CONCURRENCY), claims=st.booleans())
    def work(self, name: PipelineName, number: int, times: int, *, claims: bool) -> None:
        of = self.deployments[name]
        if worker := self.worker(name, number):
            for _ in range(times):
                (of.claim if claims else of.finish)(worker)

    @rule(name=names, number=numbers)
    def end(self, name: PipelineName, number: int) -> None:
        """It was told to go, and went."""
        worker = self.worker(name, number)
        if worker and worker.pod.terminating:
            self.deployments[name].forget(worker)

    @rule(name=names, number=numbers)
    def die(self, name: PipelineName, number: int) -> None:
        """It leaves a stale heartbeat, and connections that Postgres still counts."""
        of, worker = self.deployments[name], self.worker(name, number)
        if worker and of.surge_left:
            of.surge_left -= 1  # for the one that replaces it
            del of.crew[worker.id]
            if worker.id in of.beats:
                of.beats[worker.id] = replace(of.beats[worker.id], at=NOW - 60)
            if worker.open:
                self.ghosts[worker.id] = worker.open

    @precondition(lambda self: self.ghosts)
    @rule()
    def notice_the_dead(self) -> None:
        self.ghosts.clear()

    @rule()
    def settle(self) -> None:
        """Every worker beats and finishes for a while: then there is room for a surge again."""
        for _ in range(10):
            for name, of in self.deployments.items():
                for worker in of.crew.values():
                    of.beat(worker)
                    while worker.in_flight > max(0, worker.grant - OVERHEAD):
                        of.finish(worker)
                self.look(name)
                self.act(name, 0)
        least = sum(
            OVERHEAD * len(of.crew) + FIRST * (max(0, of.replicas - len(of.staying)) + 1)
            for of in self.deployments.values()
        )
        if least + sum(self.ghosts.values()) <= self.total:
            for of in self.deployments.values():
                of.surge_left = 1

    @invariant()
    def what_all_may_hold_is_within_the_budget(self) -> None:
        if hasattr(self, "deployments"):
            held = sum(of.may_hold() for of in self.deployments.values())
            assert held + sum(self.ghosts.values()) <= self.total


BudgetMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestBudgetInAnyOrder = BudgetMachine.TestCase
