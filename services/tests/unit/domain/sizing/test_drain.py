from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shortlist.domain.sizing import drain
from shortlist.domain.sizing.fleet import WorkerReport


def plan(
    workers: list[WorkerReport],
    replicas: int,
    draining: drain.Draining | None = None,
    now: float = 100.0,
) -> drain.Plan:
    return drain.plan(workers, replicas, draining or {}, now=now, timeout_seconds=60.0)


def test_nobody_drains_while_all_are_needed() -> None:
    assert plan([WorkerReport("a"), WorkerReport("b")], 2) == drain.Plan({}, frozenset())
    assert plan([WorkerReport("a")], 5) == drain.Plan({}, frozenset())


def test_victims_are_first_those_not_ready_then_the_idle_then_those_with_the_fewest() -> None:
    workers = [
        WorkerReport("busy", in_flight=9),
        WorkerReport("calm", in_flight=2),
        WorkerReport("idle"),
        WorkerReport("starting", ready=False),
    ]
    order = [sorted(plan(workers, 4 - count).draining) for count in range(1, 5)]
    assert order == [
        ["starting"],
        ["idle", "starting"],
        ["calm", "idle", "starting"],
        ["busy", "calm", "idle", "starting"],
    ]


def test_of_equals_the_youngest_goes() -> None:
    workers = [WorkerReport("old", started_at=1.0), WorkerReport("young", started_at=9.0)]
    assert set(plan(workers, 1).draining) == {"young"}


def test_who_drains_already_stays_a_victim_though_another_turned_idle() -> None:
    workers = [WorkerReport("a", in_flight=3, draining=True), WorkerReport("b")]
    assert plan(workers, 1, {"a": 90.0}).draining == {"a": 90.0}


def test_when_demand_returns_the_fullest_victim_works_again() -> None:
    workers = [
        WorkerReport("a", in_flight=8, draining=True),
        WorkerReport("b", in_flight=1, draining=True),
        WorkerReport("c", in_flight=9),
    ]
    assert plan(workers, 2, {"a": 90.0, "b": 90.0}).draining == {"b": 90.0}
    assert plan(workers, 3, {"a": 90.0, "b": 90.0}).draining == {}


def test_a_victim_is_not_removed_before_it_said_that_it_stopped_pulling() -> None:
    assert plan([WorkerReport("a")], 0).removable == frozenset()
    assert plan([WorkerReport("a", draining=True)], 0, {"a": 99.0}).removable == {"a"}


def test_a_victim_is_not_removed_while_it_works() -> None:
    busy = WorkerReport("a", in_flight=1, draining=True)
    assert plan([busy], 0, {"a": 41.0}, now=100.0).removable == frozenset()


def test_after_the_time_out_a_victim_is_removed_whatever_it_holds() -> None:
    busy = WorkerReport("a", in_flight=1, draining=True)
    assert plan([busy], 0, {"a": 40.0}, now=100.0).removable == {"a"}


def test_a_worker_that_never_began_is_removed_at_once() -> None:
    assert plan([WorkerReport("a", ready=False)], 0).removable == {"a"}


def test_a_victim_that_is_gone_is_forgotten() -> None:
    assert plan([WorkerReport("b")], 1, {"a": 90.0}).draining == {}


fleets = st.lists(
    st.builds(
        WorkerReport,
        id=st.sampled_from([f"w{number}" for number in range(20)]),
        ready=st.booleans(),
        draining=st.booleans(),
        in_flight=st.integers(0, 10),
        started_at=st.floats(0, 100),
    ),
    unique_by=lambda worker: worker.id,
)
drains = st.dictionaries(st.sampled_from([f"w{number}" for number in range(20)]), st.floats(0, 100))


@given(fleets, st.integers(0, 25), drains)
def test_so_many_drain_that_the_wanted_number_is_left_and_no_score_is_cut_short(
    workers: list[WorkerReport], replicas: int, draining: drain.Draining
) -> None:
    found = plan(workers, replicas, draining)
    assert len(found.draining) == max(0, len(workers) - replicas)
    assert found.removable <= set(found.draining)
    by_id = {worker.id: worker for worker in workers}
    for name in found.removable:
        is_out_of_time = 100.0 - found.draining[name] >= 60
        assert is_out_of_time or (by_id[name].in_flight == 0 and not by_id[name].pulls)
    ready_victims = [by_id[name] for name in found.draining if by_id[name].ready]
    if ready_victims:
        assert all(worker.id in found.draining for worker in workers if not worker.ready)


@given(fleets, st.integers(0, 25), drains)
def test_planning_again_changes_nothing(
    workers: list[WorkerReport], replicas: int, draining: drain.Draining
) -> None:
    first = plan(workers, replicas, draining)
    assert plan(workers, replicas, first.draining) == first
