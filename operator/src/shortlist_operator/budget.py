"""One budget for all pipelines of a namespace: the sum of their connections stays within it.

Each pipeline's loop grants to its own workers, out of what the others leave. The loops share this
object and one event loop, and nothing here waits, so two of them never grant the same connection.
No pipeline is granted anything before it was seen what the others hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.sizing.grants import Allocation, Holder, allocate, holder_of, split_budget

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shortlist.domain.line.application import PipelineName
    from shortlist.domain.sizing.grants import Grant
    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist_operator.kubernetes import members
    from shortlist_operator.observation import Sight


_TICKS_WAITED_FOR = 5
"""A pipeline that cannot be observed (no Deployment, a bad template) delays the others no more."""


@dataclass(frozen=True, slots=True)
class Room:
    """What to publish, and how many of the workers that are wanted may start now."""

    publish: Mapping[str, Grant]
    new_workers: int


class Budget:
    """What every pipeline's workers hold and want, as their loops last saw it."""

    def __init__(self) -> None:
        """Begin with nothing known of any pipeline."""
        self._held: dict[PipelineName, dict[str, int]] = {}
        self._starting: dict[PipelineName, int] = {}
        self._wanted: dict[PipelineName, int] = {}
        self._unseen: dict[PipelineName, int] = {}

    def expect(self, pipeline: PipelineName) -> None:
        """There is such a pipeline, and its workers may hold connections."""
        self._unseen[pipeline] = _TICKS_WAITED_FOR

    def ticked(self, pipeline: PipelineName) -> None:
        """Count one more tick of it, whatever was seen."""
        if pipeline in self._unseen:
            self._unseen[pipeline] -= 1
            if self._unseen[pipeline] == 0:
                del self._unseen[pipeline]

    def see(self, pipeline: ScoringPipeline, sight: Sight) -> None:
        """Note what its workers hold, whether or not the operator sizes them."""
        if sight.line is None:
            return
        self._unseen.pop(pipeline.name, None)
        self._held[pipeline.name] = {h.worker_id: h.held for h in _holders(pipeline, sight)}
        self._starting[pipeline.name] = pipeline.connections.first_grant * (
            sight.unreported + sight.may_surge()
        )

    def forget(self, pipeline: PipelineName) -> None:
        """Forget a pipeline that is gone; its connections count until Postgres says otherwise."""
        self._held.pop(pipeline, None)
        self._starting.pop(pipeline, None)
        self._wanted.pop(pipeline, None)
        self._unseen.pop(pipeline, None)

    def elsewhere(
        self,
        pipeline: PipelineName,
        members: Iterable[members.Member],
        open_by_worker: Mapping[str, int],
    ) -> int:
        """Count what workers hold that are not among this pipeline's ``members``.

        Those of other pipelines (granted or open, the more), and those whose pods are gone and
        whose connections are not.
        """
        ours = {member.worker.id for member in members}
        held = {worker: n for worker, n in open_by_worker.items() if worker not in ours}
        for worker, connections in self._of_others(pipeline).items():
            held[worker] = max(held.get(worker, 0), connections)
        return sum(held.values()) + self._starting_elsewhere(pipeline)

    def share(self, pipeline: PipelineName, total: int, wanted: int) -> int:
        """Return what a policy may count on, of a budget; ``wanted``: what it has use for.

        By what all pipelines want, not by what they hold: workers that come and go, here or there,
        must not look like a smaller budget.
        """
        self._wanted[pipeline] = wanted
        return split_budget(total, self._wanted)[pipeline]

    def _of_others(self, pipeline: PipelineName) -> dict[str, int]:
        return {
            worker: connections
            for name, held in self._held.items()
            if name != pipeline
            for worker, connections in held.items()
        }

    def _starting_elsewhere(self, pipeline: PipelineName) -> int:
        return sum(n for name, n in self._starting.items() if name != pipeline)

    def allocate(self, pipeline: ScoringPipeline, sight: Sight, wanted: int) -> Room:
        """Share out what there is; ``wanted``: workers that are to be started."""
        assert sight.line is not None
        assert sight.connections is not None
        self.see(pipeline, sight)
        if self._unseen:
            return Room({}, 0)
        first = pipeline.connections.first_grant
        holders = _holders(pipeline, sight)
        live = {beat.worker_id for beat in sight.line.live}
        reporting = [holder for holder in holders if holder.worker_id in live]
        elsewhere = (
            first * sight.unreported
            # A worker that fell silent obeys no grant: what it holds is not there to be shared.
            + sum(holder.held for holder in holders if holder.worker_id not in live)
            + self.elsewhere(pipeline.name, sight.members, sight.connections.open_by_worker)
        )
        allocation: Allocation = allocate(
            sight.connections.budget(pipeline.connections.reserved),
            reporting,
            elsewhere=elsewhere,
            expected=first * (wanted + sight.may_surge(wanted)),
        )
        self._held[pipeline.name] = {
            holder.worker_id: max(holder.held, _granted(allocation, holder)) for holder in holders
        }
        starting = next(
            (
                new
                for new in range(wanted, 0, -1)
                if first * (new + sight.may_surge(new)) <= allocation.free
            ),
            0,
        )
        self._starting[pipeline.name] = first * (
            sight.unreported + starting + sight.may_surge(starting)
        )
        return Room(allocation.publish, starting)


def _granted(allocation: Allocation, holder: Holder) -> int:
    grant = allocation.publish.get(holder.worker_id)
    return 0 if grant is None else grant.connections


def _holders(pipeline: ScoringPipeline, sight: Sight) -> list[Holder]:
    assert sight.line is not None
    return [
        holder_of(
            member.worker,
            pipeline,
            reported=member.beat.grant,
            epoch=member.beat.epoch,
            standing=sight.line.grants.get(member.worker.id),
            leaving=member.leaving,
        )
        for member in sight.members
    ]
