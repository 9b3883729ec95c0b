"""What one look at a pipeline saw: pods, workers, its line, and the connections. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.domain.fleet import Worker

if TYPE_CHECKING:
    from shortlist.storage.looks import ConnectionsLook, LineLook
    from shortlist_operator.fleet import Member, Pod
    from shortlist_operator.kube import Json


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look saw. None: could not be read, and ``errors`` says why."""

    pods: tuple[Pod, ...]
    members: tuple[Member, ...]
    replicas: int
    rolling: bool
    """A rollout is under way: there are more pods than replicas, and that means nothing."""
    surge: int
    """How many pods more than replicas a rollout may make."""
    line: LineLook | None
    connections: ConnectionsLook | None
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def unreported(self) -> int:
        """Workers that were asked for and have not reported yet: each holds k + 1."""
        reporting = {member.pod.name for member in self.members if member.pod is not None}
        unmade = max(0, self.replicas - len(self.staying))
        return unmade + sum(pod.name not in reporting for pod in self.pods)

    @property
    def may_surge(self) -> int:
        """Pods that a rollout may start at any time, beside those that it started; it asks nobody.

        Kubernetes waits neither for terminating pods nor for us before it starts the next.
        """
        return self.surge if self.replicas else 0

    @property
    def staying(self) -> list[Pod]:
        """Pods that are not on their way out."""
        return [pod for pod in self.pods if not pod.terminating]

    @property
    def crew(self) -> dict[str, Worker]:
        """Pod's name → its worker, for all that stay; one that does not report is not ready."""
        reporting = {m.pod.name: m.worker for m in self.members if m.pod is not None}
        return {
            pod.name: reporting.get(pod.name)
            or Worker(id=f"pod/{pod.name}", ready=False, started_at=pod.created_at)
            for pod in self.staying
        }


def is_rolling(deployment: Json) -> bool:
    """Whether old pods of a Deployment are still to be replaced."""
    status, spec = deployment.get("status", {}), deployment["spec"]
    replicas = int(spec.get("replicas", 1))
    seen = int(status.get("observedGeneration", 0)) >= int(deployment["metadata"]["generation"])
    return not seen or int(status.get("updatedReplicas", 0)) < min(
        replicas, int(status.get("replicas", 0))
    )


def surge_of(deployment: Json) -> int:
    """maxSurge, rounded up as Kubernetes does; 25 % is its default."""
    strategy = deployment["spec"].get("strategy", {})
    if strategy.get("type") == "Recreate":
        return 0
    surge = strategy.get("rollingUpdate", {}).get("maxSurge", "25%")
    if isinstance(surge, int):
        return surge
    replicas = int(deployment["spec"].get("replicas", 1))
    return -(-replicas * int(str(surge).rstrip("%")) // 100)
