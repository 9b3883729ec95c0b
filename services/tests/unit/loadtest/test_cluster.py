"""The simulated cluster against queues whose answers are known."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from loadtest.simulation.cluster import Cluster, Worker
from loadtest.simulation.loads import LOADS, Load, Setup, Trace, draw, steady


class Fixed:
    """A fixed number of workers; ``at`` says what else happens, at which second."""

    def __init__(self, workers: int, **at: object) -> None:
        self.workers = workers
        self.at = at
        self.second = 0

    def tick(self, cluster: Cluster) -> None:
        if self.second == 0:
            for _ in range(self.workers):
                cluster.start()
        action = self.at.get(f"s{self.second}")
        if callable(action):
            action(cluster)
        self.second += 1

    def wake(self, cluster: Cluster) -> None:
        pass

    def connections(self, worker: Worker, setup: Setup) -> int:
        return setup.concurrency if worker.ready else 0


def run(trace: Trace, scaler: Fixed, until: float = 100.0, **setup: object) -> Cluster:
    settings = {"concurrency": 1, "start_seconds": (0.0, 0.0), **setup}
    cluster = Cluster(trace, Setup(**settings), random.Random(1))  # type: ignore[arg-type]
    cluster.run(scaler, until_seconds=until, first_tick_seconds=0.0)
    return cluster


def test_one_slot_serves_in_the_order_of_arrival() -> None:
    cluster = run(Trace([1.0, 1.5, 1.6], [2.0, 2.0, 2.0]), Fixed(1))
    assert cluster.latencies_seconds == pytest.approx([2.0, 3.5, 5.4])


def test_slots_of_all_workers_serve_at_once() -> None:
    cluster = run(Trace([1.0] * 4, [2.0] * 4), Fixed(2), concurrency=2)
    assert cluster.latencies_seconds == pytest.approx([2.0] * 4)


def test_a_worker_serves_from_when_it_is_ready() -> None:
    cluster = run(Trace([1.0], [1.0]), Fixed(1), start_seconds=(5.0, 5.0))
    assert cluster.latencies_seconds == pytest.approx([5.0])


def test_replica_seconds_count_from_the_asking_to_the_end_or_the_last_arrival() -> None:
    assert run(Trace([], []), Fixed(3), until=100.0).replica_seconds == pytest.approx(300.0)

    def stop(cluster: Cluster) -> None:
        cluster.stop(cluster.workers[0])

    assert run(Trace([], []), Fixed(3, s40=stop)).replica_seconds == pytest.approx(240.0)


def test_a_stopped_worker_finishes_what_it_holds_and_takes_nothing_more() -> None:
    def stop(cluster: Cluster) -> None:
        cluster.stop(cluster.workers[0])
        cluster.start()

    cluster = run(Trace([1.0, 1.1], [5.0, 5.0]), Fixed(1, s2=stop))
    assert cluster.latencies_seconds == pytest.approx([5.0, 5.9])
    assert cluster.interrupted == 0
    assert cluster.replica_seconds == pytest.approx(6.0 + 98.0)


def test_what_is_not_done_by_the_drain_time_out_is_interrupted_and_done_again() -> None:
    def stop(cluster: Cluster) -> None:
        cluster.stop(cluster.workers[0])
        cluster.start()

    cluster = run(Trace([1.0], [20.0]), Fixed(1, s2=stop), drain_timeout_seconds=10.0)
    assert cluster.interrupted == 1
    assert cluster.latencies_seconds == pytest.approx([2.0 + 10.0 + 20.0 - 1.0])


def test_a_draining_worker_takes_nothing_until_it_is_undrained() -> None:
    def drain(cluster: Cluster) -> None:
        cluster.drain(cluster.workers[0])

    def undrain(cluster: Cluster) -> None:
        cluster.undrain(cluster.workers[0])

    cluster = run(Trace([5.0], [1.0]), Fixed(1, s2=drain, s9=undrain))
    assert cluster.latencies_seconds == pytest.approx([5.0])


def test_busy_seconds_are_those_of_the_services() -> None:
    trace = draw(Load("busy", steady(5), 5, horizon_seconds=200), 1)
    cluster = run(trace, Fixed(1), until=200.0, concurrency=50)
    worker = cluster.workers[0]
    worker.count_busy(cluster.now)
    assert worker.busy_seconds == pytest.approx(sum(trace.service_seconds))
    assert worker.completed == len(trace.arrivals)
    assert cluster.presence_seconds == pytest.approx(sum(cluster.latencies_seconds))


def test_waiting_is_as_erlang_says() -> None:
    """M/M/10 with offered load 8: P(wait) · S ÷ (10 - 8), Erlang C, against the simulation."""
    chance = random.Random(3)
    arrivals, now = [], 0.0
    for _ in range(60_000):
        now += chance.expovariate(8.0)
        arrivals.append(now)
    trace = Trace(arrivals, [chance.expovariate(1.0) for _ in arrivals])
    cluster = run(trace, Fixed(1), until=now, concurrency=10)
    waits = statistics.fmean(cluster.latencies_seconds) - statistics.fmean(trace.service_seconds)
    assert waits == pytest.approx(erlang_c(10, 8.0) / (10 - 8.0), rel=0.15)


def erlang_c(servers: int, offered: float) -> float:
    terms = [offered**n / math.factorial(n) for n in range(servers + 1)]
    last = terms[-1] * servers / (servers - offered)
    return last / (sum(terms[:-1]) + last)


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_a_loads_drawing_depends_on_its_seed_alone_and_has_its_rate(load: Load) -> None:
    trace = draw(load, 1)
    assert trace == draw(load, 1)
    assert trace != draw(load, 2)
    expected = sum(load.rate(second + 0.5) for second in range(int(load.horizon_seconds)))
    assert len(trace.arrivals) == pytest.approx(expected, rel=0.03)
    assert trace.arrivals == sorted(trace.arrivals)
