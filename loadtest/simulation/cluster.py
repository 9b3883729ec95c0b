"""A discrete-event simulation of one line and its workers.

What is simulated: a FIFO line, workers with ``concurrency`` slots that take from it as long as
they are ready and not draining, the time a worker takes to start, and a graceful end (a stopping
worker takes nothing more and leaves when it is empty, or after the drain time-out; what it then
still holds goes back to the head of the line and counts as interrupted). What is not: the time of
the database and the line (milliseconds), failures, and the scheduling of pods on nodes.

A `Scaler` is called every second and acts through `Cluster.start`, `stop`, `drain`, `undrain`.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from loadtest.simulation.loads import Setup, Trace

TICK_SECONDS = 1.0
OVERTIME_SECONDS = 1200.0
"""After the last arrival the line is emptied, for at most so long."""


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process. It exists from `created_at` until it is `gone`."""

    number: int
    created_at: float
    ready: bool = False
    draining: bool = False
    stopping: bool = False
    gone: bool = False
    listed: bool = False
    """Whether it is among those that wait for an arrival."""
    running: set[int] = field(default_factory=set)
    completed: int = 0
    busy_seconds: float = 0.0
    busy_until: float = 0.0
    """Until when `busy_seconds` has been counted."""

    @property
    def in_flight(self) -> int:
        """Applications that it is scoring."""
        return len(self.running)

    @property
    def pulls(self) -> bool:
        """Whether it takes from the line."""
        return self.ready and not (self.draining or self.stopping or self.gone)

    def count_busy(self, now: float) -> None:
        """Bring `busy_seconds` up to ``now``; call before `running` changes."""
        self.busy_seconds += len(self.running) * (now - self.busy_until)
        self.busy_until = now


class Scaler(Protocol):
    """Sizes the workers."""

    def tick(self, cluster: Cluster) -> None:
        """Act; the cluster calls this every second."""
        ...

    def wake(self, cluster: Cluster) -> None:
        """Act on an application that arrives when there is not a single worker."""
        ...

    def connections(self, worker: Worker, setup: Setup) -> int:
        """Database connections that a worker may hold."""
        ...


class Cluster:
    """The line, the workers, and the clock."""

    def __init__(self, trace: Trace, setup: Setup, chance: random.Random) -> None:
        """``chance`` draws starting times; the applications are in ``trace``."""
        self.now = 0.0
        self.setup = setup
        self.submitted = 0
        self.waiting: deque[int] = deque()
        self.workers: list[Worker] = []
        self.in_flight = 0
        self.presence_seconds = 0.0
        """Integral of the applications in the system: waiting and in flight."""
        self.replica_seconds = 0.0
        self.latencies_seconds: list[float] = []
        self.interrupted = 0
        self.peak_connections = 0
        self.started = 0
        self.start_times_seconds: deque[float] = deque(maxlen=20)
        """How long the newest workers took to become ready."""
        self._trace = trace
        self._chance = chance
        self._numbers = itertools.count()
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._free: deque[Worker] = deque()
        self._books_close_at = 0.0

    @property
    def unfinished(self) -> bool:
        """Whether anything will still arrive, waits, or runs."""
        return (
            self.submitted < len(self._trace.arrivals) or bool(self.waiting) or self.in_flight > 0
        )

    @property
    def present(self) -> int:
        """Applications in the system."""
        return len(self.waiting) + self.in_flight

    def oldest_age_seconds(self) -> float:
        """How long the head of the line has waited."""
        return self.now - self._trace.arrivals[self.waiting[0]] if self.waiting else 0.0

    # What a scaler does

    def start(self) -> Worker:
        """Ask for a worker; it is ready some seconds later."""
        worker = Worker(next(self._numbers), self.now, busy_until=self.now)
        self.workers.append(worker)
        self.started += 1
        delay = self._chance.uniform(*self.setup.start_seconds)
        self._at(self.now + delay, self._become_ready, worker)
        return worker

    def drain(self, worker: Worker) -> None:
        """Let it take nothing more; `undrain` takes that back."""
        worker.draining = True

    def undrain(self, worker: Worker) -> None:
        """Let it take from the line again, at once."""
        worker.draining = False
        self._serve(worker)

    def stop(self, worker: Worker, *, grace_seconds: float | None = None) -> None:
        """SIGTERM: it takes nothing more, and leaves when it is empty, or after the grace."""
        worker.stopping = True
        if not worker.running:
            self._leave(worker)
            return
        grace = self.setup.drain_timeout_seconds if grace_seconds is None else grace_seconds
        self._at(self.now + grace, self._interrupt, worker)

    # The run

    def run(self, scaler: Scaler, *, until_seconds: float, first_tick_seconds: float) -> None:
        """Run the trace through, and then until the line is empty."""
        self._books_close_at = until_seconds
        self._at(first_tick_seconds, self._tick, scaler)
        arrivals = self._trace.arrivals
        while True:
            next_arrival = (
                arrivals[self.submitted] if self.submitted < len(arrivals) else float("inf")
            )
            if self._events and self._events[0][0] <= next_arrival:
                at, _, action, arguments = heapq.heappop(self._events)
                self._advance(at)
                action(*arguments)
            elif next_arrival < float("inf"):
                self._advance(next_arrival)
                self._arrive(scaler)
            else:
                break
        for worker in self.workers:
            self._account(worker)

    def _tick(self, scaler: Scaler) -> None:
        scaler.tick(self)
        connections = sum(scaler.connections(worker, self.setup) for worker in self.workers)
        self.peak_connections = max(self.peak_connections, connections)
        overtime = self.now - self._books_close_at
        if overtime < 0 or (self.unfinished and overtime < OVERTIME_SECONDS):
            self._at(self.now + TICK_SECONDS, self._tick, scaler)

    def _advance(self, at: float) -> None:
        self.presence_seconds += self.present * (at - self.now)
        self.now = at

    def _at(self, time: float, action: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self._events, (time, next(self._order), action, arguments))

    def _arrive(self, scaler: Scaler) -> None:
        self.waiting.append(self.submitted)
        self.submitted += 1
        self._offer()
        if not self.workers:
            scaler.wake(self)

    def _offer(self) -> None:
        """Let workers that ran dry take what waits."""
        while self.waiting and self._free:
            worker = self._free.popleft()
            worker.listed = False
            self._serve(worker)

    def _become_ready(self, worker: Worker) -> None:
        if worker.gone:
            return
        worker.ready = True
        self.start_times_seconds.append(self.now - worker.created_at)
        self._serve(worker)

    def _serve(self, worker: Worker) -> None:
        """Fill a worker's free slots from the line."""
        if not worker.pulls:
            return
        room = self.setup.concurrency - len(worker.running)
        took = min(room, len(self.waiting))
        if took:
            worker.count_busy(self.now)
        for _ in range(took):
            application = self.waiting.popleft()
            worker.running.add(application)
            self.in_flight += 1
            finish = self.now + self._trace.service_seconds[application]
            self._at(finish, self._complete, worker, application)
        if took < room and not worker.listed:
            worker.listed = True
            self._free.append(worker)

    def _complete(self, worker: Worker, application: int) -> None:
        if worker.gone:
            return
        worker.count_busy(self.now)
        worker.running.remove(application)
        worker.completed += 1
        self.in_flight -= 1
        self.latencies_seconds.append(self.now - self._trace.arrivals[application])
        if worker.stopping and not worker.running:
            self._leave(worker)
        else:
            self._serve(worker)

    def _interrupt(self, worker: Worker) -> None:
        if worker.gone:
            return
        self.interrupted += len(worker.running)
        self.in_flight -= len(worker.running)
        self.waiting.extendleft(sorted(worker.running, reverse=True))
        self._leave(worker)
        self._offer()

    def _leave(self, worker: Worker) -> None:
        worker.gone = True
        self.workers.remove(worker)
        self._account(worker)

    def _account(self, worker: Worker) -> None:
        """Count a worker's life; what comes after the last arrival is not counted."""
        self.replica_seconds += max(0.0, min(self.now, self._books_close_at) - worker.created_at)
