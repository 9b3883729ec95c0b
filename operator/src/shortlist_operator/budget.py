"""One budget for all pipelines of a namespace: the sum of their connections stays within it.

Each pipeline's loop grants to its own workers, out of what the others leave. The loops share this
object and one event loop, and nothing here waits, so two of them never grant the same connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.domain.application import PipelineName
from shortlist.domain.connections import connections_wanted
from shortlist.domain.grants import Member, next_grants
from shortlist.storage.heartbeats import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shortlist.domain.pipeline import ScoringPipeline
    from shortlist_operator import fleet
    from shortlist_operator.reconcile import Sight


class Budget:
    """What every pipeline's workers hold, as their loops last saw it."""

    def __init__(self) -> None:
        """Nobody holds anything that is known."""
        self._granted: dict[PipelineName, dict[str, int]] = {}
        self._expected: dict[PipelineName, int] = {}
        self._epoch = 0

    def forget(self, pipeline: PipelineName) -> None:
        """A pipeline is gone; its connections count until Postgres says that they are closed."""
        self._granted.pop(pipeline, None)
        self._expected.pop(pipeline, None)

    def held_by_others(
        self,
        pipeline: PipelineName,
        members: Iterable[fleet.Member],
        open_by_worker: Mapping[str, int],
    ) -> int:
        """Connections of every worker that is not this pipeline's: granted or open, the more."""
        ours = {member.worker.id for member in members}
        others = {worker: n for worker, n in open_by_worker.items() if worker not in ours}
        for name, granted in self._granted.items():
            if name != pipeline:
                for worker, connections in granted.items():
                    others[worker] = max(others.get(worker, 0), connections)
        expected = sum(n for name, n in self._expected.items() if name != pipeline)
        return sum(others.values()) + expected

    def grants(
        self, pipeline: ScoringPipeline, sight: Sight, wanted: int
    ) -> tuple[dict[str, Grant], int]:
        """Grants to publish now, and how many of ``wanted`` more workers may start."""
        assert sight.line is not None
        assert sight.connections is not None
        least = pipeline.connections.overhead_per_worker + 1
        members = [_member(m, pipeline, sight.line.grants) for m in sight.members]
        total = sight.connections.limits.budget(pipeline.connections.reserved)
        others = self.held_by_others(
            pipeline.name, sight.members, sight.connections.open_by_worker
        )
        reporting = {m.pod.name for m in sight.members if m.pod is not None}
        silent = sum(pod.name not in reporting for pod in sight.pods)
        # A rollout may make so many more at any time, and asks nobody.
        surge = max(0, sight.replicas + sight.surge - len(sight.pods)) if sight.replicas else 0
        coming = least * (silent + min(surge, sight.surge))
        changed = next_grants(
            total, members, held_by_others=others, expected=coming + least * wanted
        )
        granted = {m.worker_id: changed.get(m.worker_id, m.granted) for m in members}
        self._granted[pipeline.name] = granted
        self._expected[pipeline.name] = coming
        held = sum(max(m.held, granted[m.worker_id]) for m in members)
        room = max(0, (total - others - coming - held) // least)
        self._epoch = 1 + max([self._epoch, *(g.epoch for g in sight.line.grants.values())])
        return {w: Grant(self._epoch, n) for w, n in changed.items()}, min(wanted, room)


def _member(
    member: fleet.Member, pipeline: ScoringPipeline, grants: Mapping[str, Grant]
) -> Member:
    spec = pipeline.connections
    grant = grants.get(member.worker.id)
    return Member(
        worker_id=member.worker.id,
        least=spec.overhead_per_worker + 1,
        wanted=connections_wanted(
            concurrency=pipeline.worker.concurrency,
            overhead=spec.overhead_per_worker,
            mode=spec.mode,
        ),
        granted=member.beat.grant if grant is None else grant.connections,
        believed=member.beat.grant,
        open=member.worker.open_connections,
    )
