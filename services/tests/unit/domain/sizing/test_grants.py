from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shortlist.domain.sizing.fleet import WorkerReport
from shortlist.domain.sizing.grants import (
    Allocation,
    Grant,
    Holder,
    allocate,
    fair_shares,
    holder_of,
    split_budget,
)
from shortlist.domain.sizing.pipeline import ConnectionsSpec, ScoringPipeline

CONCURRENCY = 10
OVERHEAD = 1
WANTED = CONCURRENCY + OVERHEAD


def holder(name: str, standing: int | None = None, **fields: int) -> Holder:
    """A worker that keeps to what stands for it, unless said otherwise."""
    grant = None if standing is None else Grant(7, standing, fields.pop("ceiling", standing))
    reported = fields.get("reported", standing if standing is not None else OVERHEAD + 1)
    return Holder(
        worker_id=name,
        least=OVERHEAD,
        wanted=fields.get("wanted", WANTED),
        reported=reported,
        epoch=fields.get("epoch", 0 if standing is None else 7),
        open=fields.get("open", reported),
        standing=grant,
    )


def test_a_new_worker_is_granted_all_it_wants_when_there_is_plenty() -> None:
    found = allocate(100, [holder("a")])
    assert found == Allocation({"a": Grant(1, 11, 11)}, 89)


def test_what_stands_already_is_not_published_again() -> None:
    assert allocate(100, [holder("a", 11)]) == Allocation({}, 89)


def test_a_scarce_budget_is_shared_evenly() -> None:
    found = allocate(20, [holder("a", 2), holder("b", 2), holder("c", 2)])
    assert {name: grant.connections for name, grant in found.publish.items()} == {
        "a": 7,
        "b": 7,
        "c": 6,
    }
    assert found.free == 0


def test_shrinking_comes_before_growing() -> None:
    full, empty = holder("full", 11), holder("empty", 2)
    first = allocate(13, [full, empty])
    assert first.publish == {"full": Grant(8, 6, 11)}  # and nothing for the other: none is free
    told = holder("full", 6, ceiling=11, epoch=6, reported=11)
    assert allocate(13, [told, empty]).publish == {}
    obeyed = holder("full", 6)
    assert allocate(13, [obeyed, empty]).publish == {"empty": Grant(8, 7, 7)}


def test_a_grant_that_was_never_read_counts_until_a_later_one_is_kept() -> None:
    """Published 11, then 3, and the report is older than both: it may have read the 11."""
    uncertain = holder("a", 3, ceiling=11, epoch=5, reported=5, open=5)
    assert uncertain.held == 11
    assert allocate(13, [uncertain, holder("b", 2)]).free == 0


def test_open_connections_count_though_the_grant_is_smaller() -> None:
    assert holder("a", 5, open=9).held == 9


def test_workers_that_are_expected_are_made_room_for() -> None:
    found = allocate(22, [holder("a", 11), holder("b", 11)], expected=2)
    assert {name: grant.connections for name, grant in found.publish.items()} == {"a": 10, "b": 10}
    obeyed = allocate(22, [holder("a", 10), holder("b", 10)], expected=2)
    assert obeyed == Allocation({}, 2)


def test_connections_elsewhere_are_nobodys() -> None:
    assert allocate(22, [holder("a", 2)], elsewhere=15).publish == {"a": Grant(8, 7, 7)}


def test_pipelines_share_a_budget_by_what_they_want_and_may_count_on_what_is_left() -> None:
    assert split_budget(100, {"only": 11}) == {"only": 100}
    assert split_budget(100, {"calm": 11, "busy": 33}) == {"calm": 67, "busy": 89}
    assert split_budget(100, {"calm": 11, "greedy": 300}) == {"calm": 11, "greedy": 89}
    assert split_budget(100, {"a": 300, "b": 300}) == {"a": 50, "b": 50}


def test_a_worker_that_drains_or_leaves_wants_what_it_holds() -> None:
    def wanted(worker: WorkerReport, pipeline: ScoringPipeline, *, leaving: bool = False) -> int:
        return holder_of(
            worker, pipeline, reported=11, epoch=1, standing=None, leaving=leaving
        ).wanted

    per_job = ScoringPipeline()
    assert wanted(WorkerReport("a", in_flight=4), per_job) == 11
    assert wanted(WorkerReport("a", in_flight=4, draining=True), per_job) == 5
    assert wanted(WorkerReport("a", in_flight=4), per_job, leaving=True) == 5
    per_write = ScoringPipeline(connections=ConnectionsSpec(mode="perWrite"))
    assert wanted(WorkerReport("a", in_flight=4, draining=True), per_write) == 2


def test_without_postgres_everything_stays_as_it_is() -> None:
    assert allocate(None, [holder("a"), holder("b", 5)]) == Allocation({}, 0)


def test_a_draining_worker_gives_back_what_it_has_no_more_use_for() -> None:
    found = allocate(100, [holder("a", 11, wanted=OVERHEAD + 3)])
    assert found.publish == {"a": Grant(8, 4, 11)}


def test_a_lost_grant_is_granted_anew_under_a_later_epoch() -> None:
    orphan = holder("a", reported=6, epoch=9, open=4)
    assert orphan.held == 6
    assert allocate(100, [orphan]).publish == {"a": Grant(10, 11, 11)}


def test_a_lowered_budget_shows_as_nothing_free() -> None:
    found = allocate(15, [holder("a", 11), holder("b", 11)])
    assert found.free == -7
    assert {name: grant.connections for name, grant in found.publish.items()} == {"a": 8, "b": 7}


bounds = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.tuples(st.integers(0, 5), st.integers(0, 40)).map(lambda pair: (pair[0], sum(pair))),
    max_size=8,
)


@given(st.integers(-10, 200), bounds)
def test_shares_are_within_bounds_use_the_budget_up_and_are_even(
    budget: int, parties: dict[str, tuple[int, int]]
) -> None:
    shares = fair_shares(budget, parties)
    assert shares.keys() == parties.keys()
    assert all(parties[name][0] <= share <= parties[name][1] for name, share in shares.items())
    least, most = (sum(bound[side] for bound in parties.values()) for side in (0, 1))
    assert sum(shares.values()) == min(max(budget, least), most)
    hungry = [share for name, share in shares.items() if share < parties[name][1]]
    for name, share in shares.items():
        if hungry and share > parties[name][0]:
            assert share <= min(hungry) + 1


@dataclass
class Simulated:
    """A worker as `shortlist.worker.membership` is: it reports, then reads, then obeys."""

    name: str
    grant: int = OVERHEAD + 1
    epoch: int = 0
    open: int = OVERHEAD
    in_flight: int = 0
    dead: bool = False
    draining: bool = False

    def beat(self, system: GrantsMachine) -> None:
        system.reports[self.name] = Report(
            self.grant, self.epoch, self.open, self.in_flight, self.draining
        )
        order = system.standing.get(self.name)
        if order is not None:
            self.grant = order.connections
            self.close_surplus()
            if self.open <= order.connections:
                self.epoch = order.epoch

    def claim(self) -> None:
        if not self.draining and self.in_flight < min(CONCURRENCY, self.grant - OVERHEAD):
            self.in_flight += 1
            self.open = max(self.open, self.in_flight + OVERHEAD)

    def finish(self) -> None:
        if self.in_flight:
            self.in_flight -= 1
            self.close_surplus()

    def close_surplus(self) -> None:
        self.open = max(OVERHEAD, self.in_flight + OVERHEAD, min(self.open, self.grant))


@dataclass(frozen=True)
class Report:
    grant: int
    epoch: int
    open: int
    in_flight: int
    draining: bool


@dataclass
class Look:
    """What the controller saw; what it decides on it is published later."""

    budget: int
    allocation: Allocation
    expected: int = field(default=0)


class GrantsMachine(RuleBasedStateMachine):
    """Workers and a controller, in any order: beats, claims, deaths, lowered limits, restarts."""

    @initialize(budget=st.integers(8, 80))
    def begin(self, budget: int) -> None:
        self.budget = budget
        self.workers: dict[str, Simulated] = {}
        self.reports: dict[str, Report] = {}
        self.standing: dict[str, Grant] = {}
        self.look: Look | None = None
        self.born = 0
        self.allowed = budget
        """What may be open: the budget, or what was held when it was lowered, until that closed."""

    def holders(self) -> list[Holder]:
        return [
            Holder(
                worker_id=name,
                least=OVERHEAD,
                wanted=OVERHEAD + (report.in_flight if report.draining else CONCURRENCY),
                reported=report.grant,
                epoch=report.epoch,
                open=report.open,
                standing=self.standing.get(name),
            )
            for name, report in self.reports.items()
            if name in self.workers
        ]

    def elsewhere(self) -> int:
        """Started and not heard of: k + 1 each."""
        return (OVERHEAD + 1) * sum(name not in self.reports for name in self.workers)

    @precondition(lambda self: self.look is None)
    @rule(expected=st.integers(0, 4))
    def decide(self, expected: int) -> None:
        allocation = allocate(
            self.budget, self.holders(), elsewhere=self.elsewhere(), expected=expected
        )
        self.look = Look(self.budget, allocation, expected)

    @precondition(lambda self: self.look is not None)
    @rule(starts=st.integers(0, 3))
    def publish_and_start(self, starts: int) -> None:
        assert self.look is not None
        self.standing.update(self.look.allocation.publish)
        room = self.look.allocation.free // (OVERHEAD + 1)
        for _ in range(min(starts, room)):
            self.born += 1
            self.workers[f"w{self.born}"] = Simulated(f"w{self.born}")
        self.look = None

    @precondition(lambda self: self.look is not None)
    @rule()
    def be_killed_before_publishing(self) -> None:
        self.look = None

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), times=st.integers(1, 12))
    def work(self, data: st.DataObject, times: int) -> None:
        worker = self.workers[data.draw(st.sampled_from(sorted(self.workers)))]
        if worker.dead:
            return
        action = data.draw(st.sampled_from([worker.claim, worker.finish]))
        for _ in range(times):
            action()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        worker = self.workers[data.draw(st.sampled_from(sorted(self.workers)))]
        if not worker.dead:
            worker.beat(self)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def drain_or_undrain(self, data: st.DataObject) -> None:
        worker = self.workers[data.draw(st.sampled_from(sorted(self.workers)))]
        worker.draining = not worker.draining

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """Its connections stay until Postgres notices."""
        self.workers[data.draw(st.sampled_from(sorted(self.workers)))].dead = True

    @precondition(lambda self: any(worker.dead for worker in self.workers.values()))
    @rule()
    def be_seen_dead(self) -> None:
        if self.look is None:
            for name in [name for name, worker in self.workers.items() if worker.dead]:
                for gone in (self.workers, self.reports, self.standing):
                    gone.pop(name, None)

    @precondition(lambda self: self.look is None)
    @rule(budget=st.integers(4, 80))
    def change_the_limit(self, budget: int) -> None:
        """What is held already may still be opened; it must only never become more."""
        self.allowed = max(budget, sum(h.held for h in self.holders()) + self.elsewhere())
        self.budget = budget

    @precondition(lambda self: self.look is None)
    @rule()
    def settle(self) -> None:
        """Every worker beats and finishes, a few times: then the budget holds, whatever was."""
        for _ in range(6):
            self.standing.update(
                allocate(self.budget, self.holders(), elsewhere=self.elsewhere()).publish
            )
            for worker in self.workers.values():
                if not worker.dead:
                    worker.beat(self)
                    worker.in_flight = min(worker.in_flight, max(0, worker.grant - OVERHEAD))
                    worker.close_surplus()
        if not any(worker.dead for worker in self.workers.values()):
            assert self.open() <= max(self.budget, OVERHEAD * len(self.workers))
            self.allowed = max(self.budget, OVERHEAD * len(self.workers))

    def open(self) -> int:
        return sum(worker.open for worker in self.workers.values())

    @invariant()
    def i1_in_flight_is_within_the_connections(self) -> None:
        for worker in getattr(self, "workers", {}).values():
            assert worker.in_flight <= worker.open - OVERHEAD

    @invariant()
    def i2_the_sum_is_within_the_budget(self) -> None:
        if hasattr(self, "workers"):
            most = sum(max(worker.grant, worker.open) for worker in self.workers.values())
            assert most <= self.allowed


GrantsMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestGrantsMachine = GrantsMachine.TestCase
