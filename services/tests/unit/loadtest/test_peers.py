"""The peers against what their documents and their own tests say."""

from __future__ import annotations

import random

import pytest

from loadtest.simulation.cluster import Cluster
from loadtest.simulation.loads import Setup, Trace
from loadtest.simulation.peers import (
    HPA_SYNC_SECONDS,
    KEDA_DEFAULT,
    KPA_DEFAULT,
    Hpa,
    Keda,
    Kpa,
    KpaDecider,
    WindowAverage,
    tuned_for,
)

TUNED = tuned_for(Setup())


def test_a_list_of_40_is_met_as_the_real_keda_met_it() -> None:
    """The real one, on a real cluster, with target 5: 1 worker at 5 s, 4 at 20 s, 6 at 35 s."""
    hpa = Hpa(KEDA_DEFAULT, max_replicas=30)
    assert hpa.sync(20.0, metric=30, replicas=1) == 4  # the first took 10; ⌈30 ÷ 5⌉ = 6, 4 at most
    assert hpa.sync(35.0, metric=0, replicas=4) == 6  # the window still knows the 6


def test_keda_starts_one_worker_at_a_poll_and_leaves_the_rest_to_its_hpa() -> None:
    trace = Trace([1.0] * 40, [1000.0] * 40)
    cluster = Cluster(trace, Setup(start_seconds=(0.5, 0.5)), random.Random(1))
    keda = Keda(KEDA_DEFAULT, 30, poll_phase=5.0, sync_phase=20.0)
    replicas = {}

    class Recorder:
        wake = keda.wake
        connections = keda.connections

        def tick(self, cluster: Cluster) -> None:
            keda.tick(cluster)
            replicas[round(cluster.now)] = keda.replicas(cluster)

    cluster.run(Recorder(), until_seconds=40.0, first_tick_seconds=1.0)
    assert [replicas[second] for second in (4, 5, 19, 20, 34, 35)] == [0, 1, 1, 4, 4, 6]


def test_the_hpa_keeps_what_is_within_its_tolerance() -> None:
    hpa = Hpa(TUNED, max_replicas=30)
    assert hpa.sync(0.0, metric=88, replicas=10) == 10  # ratio 1.1
    assert hpa.sync(15.0, metric=89, replicas=10) == 12  # ⌈89 ÷ 8⌉
    assert hpa.sync(30.0, metric=87, replicas=12) == 12  # ratio 0.906


def test_the_hpa_doubles_at_most_without_behavior_and_jumps_with_it() -> None:
    assert Hpa(KEDA_DEFAULT, 30).sync(0.0, metric=1000, replicas=3) == 6
    assert Hpa(KEDA_DEFAULT, 30).sync(0.0, metric=1000, replicas=1) == 4
    assert Hpa(TUNED, 30).sync(0.0, metric=1000, replicas=1) == 30


def test_the_hpa_scales_down_by_the_most_it_proposed_within_the_window() -> None:
    hpa = Hpa(TUNED, max_replicas=30)
    assert hpa.sync(0.0, metric=80, replicas=1) == 10
    assert [hpa.sync(15.0 * n, metric=8, replicas=10) for n in range(1, 5)] == [10] * 4
    assert hpa.sync(75.0, metric=8, replicas=10) == 1


def test_the_hpa_never_goes_below_one() -> None:
    assert Hpa(TUNED, 30).sync(0.0, metric=0, replicas=1) == 1


def test_keda_goes_to_zero_after_its_cooldown() -> None:
    cluster = Cluster(Trace([], []), Setup(), random.Random(1))
    keda = Keda(TUNED, 30, poll_phase=0.0, sync_phase=HPA_SYNC_SECONDS)
    keda.set_replicas(cluster, 1)
    keda._last_active = 0.0
    cluster.now = 60.0
    keda.tick(cluster)
    assert keda.replicas(cluster) == 1
    cluster.now = 62.0
    keda.tick(cluster)
    assert keda.replicas(cluster) == 0


def kpa(target: float = 10.0) -> KpaDecider:
    return KpaDecider(KPA_DEFAULT, target)


def test_the_kpa_divides_the_stable_concurrency_by_its_target() -> None:
    assert kpa().decide(0.0, stable=50, panic=50, ready_pods=10) == 5
    assert kpa().decide(0.0, stable=100, panic=100, ready_pods=10) == 10


def test_the_kpa_halves_at_most() -> None:
    assert kpa().decide(0.0, stable=1, panic=1, ready_pods=10) == 5
    assert kpa().decide(0.0, stable=0, panic=0, ready_pods=1) == 0


def test_the_kpa_panics_at_twice_what_its_ready_pods_are_for() -> None:
    decider = kpa()
    assert decider.decide(0.0, stable=50, panic=90, ready_pods=5) == 5
    assert decider.panic_at is None
    assert decider.decide(2.0, stable=50, panic=100, ready_pods=5) == 10
    assert decider.panic_at == 2.0


def test_the_kpa_does_not_shrink_in_panic_and_leaves_it_a_minute_after_the_last_crossing() -> None:
    decider = kpa()
    assert decider.decide(0.0, stable=50, panic=200, ready_pods=5) == 20
    assert decider.decide(30.0, stable=50, panic=10, ready_pods=20) == 20
    assert decider.decide(60.0, stable=50, panic=10, ready_pods=20) == 20
    assert decider.decide(61.0, stable=50, panic=10, ready_pods=20) == 10


def test_the_kpa_counts_no_ready_pod_as_one() -> None:
    decider = kpa()
    assert decider.decide(0.0, stable=30, panic=30, ready_pods=0) == 3
    assert decider.panic_at == 0.0


def test_a_window_averages_over_the_part_that_has_data() -> None:
    window = WindowAverage(60)
    assert window.average is None
    for _ in range(6):
        window.record(10.0)
    assert window.average == 10.0
    for _ in range(6):
        window.record(None)  # a short silence counts as nothing
    assert window.average == 5.0
    for _ in range(60):
        window.record(None)  # a window of silence is forgotten
    assert window.average is None


def test_the_activator_wakes_the_kpa_at_once() -> None:
    cluster = Cluster(Trace([10.3], [1.0]), Setup(start_seconds=(4.0, 4.0)), random.Random(1))
    cluster.run(Kpa(KPA_DEFAULT, 30, phase=0.0), until_seconds=11.0, first_tick_seconds=1.0)
    assert cluster.latencies_seconds == [pytest.approx(5.0)]


def test_a_deployment_takes_pods_that_are_not_ready_first_and_then_the_newest() -> None:
    cluster = Cluster(Trace([], []), Setup(), random.Random(1))
    keda = Keda(TUNED, 30, poll_phase=0.0, sync_phase=0.0)
    for second in range(4):
        cluster.now = float(second)
        cluster.start().ready = second != 1
    keda.set_replicas(cluster, 2)
    assert [worker.created_at for worker in cluster.workers] == [0.0, 2.0]
