"""What one look at a pipeline saw: pods, workers, its line, and the connections. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.domain.sizing.fleet import WorkerReport

if TYPE_CHECKING:
    from shortlist.storage.snapshots import ConnectionsSnapshot, LineSnapshot
    from shortlist_operator.kubernetes.kube import Json
    from shortlist_operator.kubernetes.members import Member, Pod


@dataclass(frozen=True, slots=True)
class RolloutStrategy:
    """How a Deployment replaces its pods; each a number, or percents of the replicas."""

    max_surge: int | str
    max_unavailable: int | str
    recreates: bool = False
    """All old pods end, wholly, before a new one starts."""

    @classmethod
    def of(cls, deployment: Json) -> RolloutStrategy:
        """Read it as a Deployment has it, with Kubernetes' own defaults."""
        strategy = deployment["spec"].get("strategy", {})
        rolling = strategy.get("rollingUpdate", {})
        return cls(
            max_surge=rolling.get("maxSurge", "25%"),
            max_unavailable=rolling.get("maxUnavailable", "25%"),
            recreates=strategy.get("type") == "Recreate",
        )

    def overlap(self, replicas: int) -> int:
        """Count new pods that may start while all the old ones still hold their connections.

        Those of the surge, and those for old pods that are told to end at once: these still drain.
        Rounded as Kubernetes does, which makes one unavailable where both would be none.
        """
        if self.recreates or not replicas:
            return 0
        surge = -(-_percent(self.max_surge, replicas) // 100)
        unavailable = _percent(self.max_unavailable, replicas) // 100
        return max(1, surge + unavailable)


def _percent(value: int | str, replicas: int) -> int:
    """Return hundredths of a pod."""
    return value * 100 if isinstance(value, int) else replicas * int(value.rstrip("%"))


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look saw. None: could not be read, and ``errors`` says why."""

    pods: tuple[Pod, ...]
    members: tuple[Member, ...]
    replicas: int
    rolling: bool
    """A rollout is under way: there are more pods than replicas, and that means nothing."""
    strategy: RolloutStrategy
    line: LineSnapshot | None
    connections: ConnectionsSnapshot | None
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def unreported(self) -> int:
        """Workers that were asked for and have not reported yet: each holds k + 1."""
        reporting = {member.pod.name for member in self.members if member.pod is not None}
        unmade = max(0, self.replicas - len(self.staying))
        return unmade + sum(pod.name not in reporting for pod in self.pods)

    def may_surge(self, new: int = 0) -> int:
        """Pods that a rollout may start at any time, unasked, beside those that it started.

        Kubernetes waits neither for terminating pods nor for us before it starts the next.

        Args:
            new: replicas that are about to be added.
        """
        return self.strategy.overlap(self.replicas + new)

    @property
    def staying(self) -> list[Pod]:
        """Pods that are not on their way out."""
        return [pod for pod in self.pods if not pod.terminating]

    @property
    def worker_by_pod(self) -> dict[str, WorkerReport]:
        """Pod's name → its worker, for all that stay; one that does not report is not ready.

        Whether it holds anything is not known, once it was ready: Redis may have lost what it told.
        """
        reporting = {m.pod.name: m.worker for m in self.members if m.pod is not None}
        return {
            pod.name: reporting.get(pod.name)
            or WorkerReport(
                id=f"pod/{pod.name}",
                ready=False,
                in_flight=int(pod.ready_at is not None),
                started_at=pod.created_at,
            )
            for pod in self.staying
        }


def is_rolling(deployment: Json) -> bool:
    """Tell if old pods of a Deployment are being replaced; not when that is paused, or stuck."""
    status, spec = deployment.get("status", {}), deployment["spec"]
    if spec.get("paused") or _is_stuck(status):
        return False
    replicas = int(spec.get("replicas", 1))
    seen = int(status.get("observedGeneration", 0)) >= int(deployment["metadata"]["generation"])
    return not seen or int(status.get("updatedReplicas", 0)) < min(
        replicas, int(status.get("replicas", 0))
    )


def _is_stuck(status: Json) -> bool:
    """Past ``progressDeadlineSeconds``: for want of an image, say."""
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    return conditions.get("Progressing") == "False"
