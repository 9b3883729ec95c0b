"""The peers, as their sources say: KEDA with a horizontal pod autoscaler, and Knative's KPA.

Sources read: kubernetes 1.34 ``pkg/controller/podautoscaler`` (``horizontal.go``,
``replica_calculator.go``) and ``pkg/apis/autoscaling/v2/defaults.go``; KEDA 2
``pkg/scaling/executor/scale_scaledobjects.go``; Knative Serving ``pkg/autoscaler/scaling/
autoscaler.go``, ``pkg/autoscaler/aggregation/bucketing.go``, ``pkg/reconciler/autoscaling/kpa/
scaler.go``. Where a detail had to be left out, it is left out in the peer's favour, and said so.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtest.simulation.cluster import Cluster, Worker
    from loadtest.simulation.loads import Setup

HPA_SYNC_SECONDS = 15.0  # --horizontal-pod-autoscaler-sync-period: the cluster's, not a user's
HPA_TOLERANCE = 0.1
KPA_TICK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class KedaSettings:
    """A ScaledObject with one trigger, as far as it bears on scaling. Times in seconds."""

    target: float = 5.0
    """``listLength``: AverageValue of the HPA's external metric."""
    counts_in_flight: bool = False
    """Whether the metric is the waiting list alone, or what is being worked on too."""
    polling_seconds: float = 30.0
    cooldown_seconds: float = 300.0
    has_behavior: bool = False
    """Without ``behavior`` the HPA limits a step up to max(2 · current, 4). With the behavior of
    the tuned rival there is no such limit."""
    down_window_seconds: float = 300.0


KEDA_DEFAULT = KedaSettings()


def tuned_for(setup: Setup) -> KedaSettings:
    """Return what an expert on KEDA and this load would set: the honest rival."""
    return KedaSettings(
        target=0.8 * setup.concurrency,  # 8 of 10 slots: a fifth to spare
        counts_in_flight=True,
        polling_seconds=2.0,
        cooldown_seconds=60.0,  # ours waits as long before it goes to zero
        has_behavior=True,
        down_window_seconds=60.0,
    )


@dataclass(slots=True)
class Hpa:
    """The horizontal pod autoscaler with one external metric of type AverageValue."""

    settings: KedaSettings
    max_replicas: int
    min_replicas: int = 1
    recommendations: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, now: float, metric: float, replicas: int) -> int:
        """One sync: the replicas to set, given those that are set (≥ 1)."""
        if not self.recommendations:
            self.recommendations.append((now, replicas))
        proposed = self._proposal(metric, replicas)
        stabilized = self._stabilize(now, proposed, replicas)
        limit = self.max_replicas
        if not self.settings.has_behavior:
            limit = min(limit, max(2 * replicas, 4))
        return max(self.min_replicas, min(stabilized, limit))

    def _proposal(self, metric: float, replicas: int) -> int:
        ratio = metric / (self.settings.target * replicas)
        if 1 - HPA_TOLERANCE <= ratio <= 1 + HPA_TOLERANCE:
            return replicas
        return math.ceil(metric / self.settings.target)

    def _stabilize(self, now: float, proposed: int, replicas: int) -> int:
        """Down no further than the most that was proposed within the window; no window up.

        Without ``behavior`` the window's maximum may also raise; with it, it only holds.
        """
        cutoff = now - self.settings.down_window_seconds
        self.recommendations = [r for r in self.recommendations if r[0] >= cutoff]
        self.recommendations.append((now, proposed))
        most = max(count for _, count in self.recommendations)
        if not self.settings.has_behavior:
            return most
        return min(max(replicas, proposed), most)


class Deployment:
    """What a Deployment does with ``replicas``: starts and stops pods."""

    def __init__(self, max_replicas: int) -> None:
        """``max_replicas`` is what its scaler may set at most."""
        self.max_replicas = max_replicas

    def connections(self, worker: Worker, setup: Setup) -> int:
        """Count a fixed pool: one for each slot and the overhead, from readiness to the end."""
        return setup.concurrency + setup.overhead_per_worker if worker.ready else 0

    def wake(self, cluster: Cluster) -> None:
        """Do nothing: an arrival starts no worker, unless a subclass says so."""

    @staticmethod
    def replicas(cluster: Cluster) -> int:
        """Pods that are not being terminated."""
        return sum(not worker.stopping for worker in cluster.workers)

    def set_replicas(self, cluster: Cluster, wanted: int) -> None:
        """Create or terminate pods; victims as a ReplicaSet ranks them: not ready, then newest."""
        pods = [worker for worker in cluster.workers if not worker.stopping]
        for _ in range(wanted - len(pods)):
            cluster.start()
        ranked = sorted(pods, key=lambda pod: (pod.ready, -pod.created_at))
        for pod in ranked[: max(0, len(pods) - wanted)]:
            cluster.stop(pod)


class Keda(Deployment):
    """KEDA's operator between 0 and 1, its HPA from 1 up."""

    def __init__(
        self, settings: KedaSettings, max_replicas: int, *, poll_phase: float, sync_phase: float
    ) -> None:
        """Poll and sync first so many seconds after second 0 as the phases say."""
        super().__init__(max_replicas)
        self.settings = settings
        self.hpa = Hpa(settings, max_replicas)
        self._next_poll = poll_phase
        self._next_sync = sync_phase
        self._last_active = -math.inf

    def metric(self, cluster: Cluster) -> float:
        """Return what the trigger reads."""
        return cluster.present if self.settings.counts_in_flight else len(cluster.waiting)

    def tick(self, cluster: Cluster) -> None:
        """Poll and sync when it is time."""
        if cluster.now >= self._next_poll:
            self._next_poll += self.settings.polling_seconds
            self._poll(cluster)
        if cluster.now >= self._next_sync:
            self._next_sync += HPA_SYNC_SECONDS
            replicas = self.replicas(cluster)
            if replicas > 0:  # at 0 the HPA is disabled
                self.set_replicas(
                    cluster, self.hpa.sync(cluster.now, self.metric(cluster), replicas)
                )

    def _poll(self, cluster: Cluster) -> None:
        if self.metric(cluster) > 0:
            self._last_active = cluster.now
            if self.replicas(cluster) == 0:
                self.set_replicas(cluster, 1)
        elif cluster.now - self._last_active > self.settings.cooldown_seconds:
            self.set_replicas(cluster, 0)


@dataclass(frozen=True, slots=True)
class KpaSettings:
    """Knative's ``config-autoscaler`` defaults. Times in seconds."""

    target_utilization: float = 0.7
    stable_seconds: int = 60
    panic_seconds: int = 6
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0


KPA_DEFAULT = KpaSettings()


class WindowAverage:
    """Average of one-second buckets over a window, or over the part of it that has data."""

    def __init__(self, seconds: int) -> None:
        """Begin with an empty window of this length."""
        self._buckets: deque[float] = deque(maxlen=seconds)
        self._silent_seconds = 0

    def record(self, value: float | None) -> None:
        """One second's value; None: no report, which is 0 until a window of silence."""
        self._silent_seconds = self._silent_seconds + 1 if value is None else 0
        if self._silent_seconds > (self._buckets.maxlen or 0):
            self._buckets.clear()
        elif value is not None or self._buckets:
            self._buckets.append(value or 0.0)

    @property
    def average(self) -> float | None:
        """None without any data."""
        return sum(self._buckets) / len(self._buckets) if self._buckets else None


@dataclass(slots=True)
class KpaDecider:
    """``autoscaler.Scale`` of Knative Serving: stable and panic mode."""

    settings: KpaSettings
    target: float
    """Concurrency aimed at per pod: its hard limit times the target utilization."""
    panic_at: float | None = None
    max_panic_pods: int = 0

    def decide(self, now: float, stable: float, panic: float, ready_pods: int) -> int:
        """Pods wanted, from the two windows' average concurrency and the pods that are ready."""
        settings = self.settings
        ready = max(1, ready_pods)
        most = math.ceil(settings.max_scale_up_rate * ready)
        least = math.floor(ready / settings.max_scale_down_rate)
        panic_pods = math.ceil(panic / self.target)
        wanted = min(max(math.ceil(stable / self.target), least), most)
        wanted_in_panic = min(max(panic_pods, least), most)
        if panic_pods / ready >= settings.panic_threshold:
            self.panic_at = now
        elif self.panic_at is not None and now - self.panic_at > settings.stable_seconds:
            self.panic_at = None
            self.max_panic_pods = 0
        if self.panic_at is None:
            return wanted
        self.max_panic_pods = max(self.max_panic_pods, wanted, wanted_in_panic)
        return self.max_panic_pods


class Kpa(Deployment):
    """Knative's pod autoscaler. Its activator holds what waits and wakes it from zero at once.

    In its favour: scaling to zero takes none of the grace period of up to 30 s, and the proxies
    cost nothing.
    """

    def __init__(self, settings: KpaSettings, max_replicas: int, *, phase: float) -> None:
        """``phase``: second of the first tick."""
        super().__init__(max_replicas)
        self.settings = settings
        self._decider: KpaDecider | None = None
        self._stable = WindowAverage(settings.stable_seconds)
        self._panic = WindowAverage(settings.panic_seconds)
        self._next_tick = phase
        self._presence_seconds = 0.0
        self._counted_until = 0.0

    def tick(self, cluster: Cluster) -> None:
        """Each second the proxies report; every second of them the decider decides."""
        self._report(cluster)
        if cluster.now >= self._next_tick:
            self._next_tick += KPA_TICK_SECONDS
            self._decide(cluster)

    def wake(self, cluster: Cluster) -> None:
        """Start a worker: the activator reports the first request of a revision without pods."""
        self.set_replicas(cluster, 1)

    def _report(self, cluster: Cluster) -> None:
        """Average concurrency since the last report, as queue-proxy and activator measure it."""
        elapsed = cluster.now - self._counted_until
        concurrency = (cluster.presence_seconds - self._presence_seconds) / elapsed
        self._presence_seconds, self._counted_until = cluster.presence_seconds, cluster.now
        reported = bool(cluster.workers) or concurrency > 0
        for window in (self._stable, self._panic):
            window.record(concurrency if reported else None)

    def _decide(self, cluster: Cluster) -> None:
        stable, panic = self._stable.average, self._panic.average
        if stable is None:
            return
        if self._decider is None:
            target = self.settings.target_utilization * cluster.setup.concurrency
            self._decider = KpaDecider(self.settings, target)
        ready = sum(worker.ready and not worker.stopping for worker in cluster.workers)
        wanted = self._decider.decide(cluster.now, stable, panic or 0.0, ready)
        self.set_replicas(cluster, min(wanted, self.max_replicas))
