"""How many connections each worker may hold, so that the sum never exceeds the budget (promise 8).

The two invariants of ``docs/autoscaling.md``:

- I1: a worker scores ≤ its grant - k at once, and has ≤ its grant - 1 in flight. The worker keeps
  it: a smaller grant means fewer slots at once, and is acknowledged when the excess has finished
  and is closed.
- I2: Σ held ≤ B, over all workers that live, start, or are going. It is kept here. What a worker
  holds is the most that it may have been told since the last epoch it acknowledged, or what is
  open, if that is more. So a smaller grant frees nothing until its worker has obeyed it, a larger
  one is given out of what is free, and "shrink before grow" needs no further bookkeeping.

Everything needed is in the workers' reports and in the grants as they stand in Redis, read
together in one transaction: the process that grants may be killed between any two steps, and Redis
may lose all of it. One process grants at a time (leases see to it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from shortlist.domain.sizing.connections import connections_wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shortlist.domain.sizing.fleet import WorkerReport
    from shortlist.domain.sizing.pipeline import ScoringPipeline


Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, slots=True)
class Grant:
    """Connections that one worker may hold, as published for it."""

    epoch: int
    """The decision that it belongs to; the worker acknowledges it when it keeps to the grant."""
    connections: int
    ceiling: int = 0
    """What the worker may hold until then: it may still keep to any earlier grant."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One worker as the budget sees it. All figures but ``epoch`` are connections."""

    worker_id: str
    least: int
    """What it cannot do without: k."""
    wanted: int
    """What it has use for: c + k, or k + what is in flight when it drains (perJob)."""
    reported: int
    """The grant that it read last, or started with."""
    epoch: int
    """The newest epoch that it acknowledged; 0: none yet."""
    open: int
    """What it reports or Postgres counts for it, whichever is more."""
    standing: Grant | None
    """What was published for it last; None: nothing, or Redis lost it."""

    @property
    def is_settled(self) -> bool:
        """Whether it keeps to the grant that stands."""
        return self.standing is not None and self.standing.epoch == self.epoch

    @property
    def held(self) -> int:
        """What must be set aside for it."""
        if self.standing is None:
            # Nothing was granted yet; or Redis lost it, and then the report is newer than that
            # and counts in whatever was read before.
            return max(self.reported, self.open)
        if self.is_settled:
            return max(self.standing.connections, self.open)
        return max(self.standing.ceiling, self.standing.connections, self.reported, self.open)


def holder_of(
    worker: WorkerReport,
    pipeline: ScoringPipeline,
    *,
    reported: int,
    epoch: int,
    standing: Grant | None,
    leaving: bool = False,
) -> Holder:
    """Describe a worker of a pipeline as the budget sees it; `Holder` says what is reported.

    One that leaves or drains has no use for more than what it still holds.
    """
    spec = pipeline.connections
    wanted = connections_wanted(
        concurrency=pipeline.worker.concurrency, overhead=spec.overhead_per_worker, mode=spec.mode
    )
    if (leaving or worker.draining) and spec.mode == "perJob":
        wanted = min(wanted, spec.overhead_per_worker + worker.in_flight)
    return Holder(
        worker_id=worker.id,
        least=spec.overhead_per_worker,
        wanted=wanted,
        reported=reported,
        epoch=epoch,
        open=worker.open_connections,
        standing=standing,
    )


@dataclass(frozen=True, slots=True)
class Allocation:
    """What to publish now, and what is then left."""

    publish: Mapping[str, Grant]
    """Worker → its new grant; workers whose grant stays as it is are not in it."""
    free: int
    """Connections that no worker holds: what new ones may start with. Negative: the budget was
    lowered, and workers are still on their way below it."""


def allocate(
    budget: int | None,
    holders: Sequence[Holder],
    *,
    elsewhere: int = 0,
    expected: int = 0,
) -> Allocation:
    """Decide the grants: an even share for each worker, as far as connections are free.

    Args:
        budget: B; None while Postgres cannot be read, and everything stays as it is.
        holders: the workers that are told what they may hold.
        elsewhere: connections of all others: k + 1 for each that was started and has not reported
            yet, what Postgres counts for those that are gone, and all that it may hold for one that
            fell silent, or whose report was lost.
        expected: connections to keep free, for workers about to be started or to start by
            themselves (a rollout's surge, the replacement of one that died).
    """
    if budget is None:
        return Allocation({}, 0)
    free = budget - elsewhere - sum(holder.held for holder in holders)
    shares = fair_shares(
        budget - elsewhere - expected,
        {holder.worker_id: (holder.least, holder.wanted) for holder in holders},
    )
    spendable = free - expected
    epoch = _next_epoch(holders)
    publish: dict[str, Grant] = {}
    for holder in sorted(holders, key=_poorest_first):
        share = min(shares[holder.worker_id], holder.held + max(0, spendable))
        growth = max(0, share - holder.held)
        if holder.standing is None or share != holder.standing.connections:
            publish[holder.worker_id] = Grant(epoch, share, max(share, holder.held))
            spendable -= growth
            free -= growth
    return Allocation(publish, free)


def fair_shares(budget: int, bounds: Mapping[Name, tuple[int, int]]) -> dict[Name, int]:
    """Split a budget evenly (max-min fair) between parties with a (least, most) each.

    No party gets more than its most, nor less than its least, even if that is more than the budget:
    then there are too many of them, which no split can help.
    """
    left = budget - sum(least for least, _ in bounds.values())
    shares = {name: least for name, (least, _) in bounds.items()}
    hungry = sorted(name for name, (least, most) in bounds.items() if least < most)
    while hungry and left > 0:
        lowest = min(shares[name] for name in hungry)
        poorest = [name for name in hungry if shares[name] == lowest]
        for name in poorest[:left]:
            shares[name] += 1
        left -= len(poorest[:left])
        hungry = [name for name in hungry if shares[name] < bounds[name][1]]
    return shares


def split_budget(budget: int, wanted: Mapping[Name, int]) -> dict[Name, int]:
    """Split what several pipelines on one Postgres may count on, by what each wants.

    Its fair share, and what no share uses: one that needs more a second later may have that, and
    whatever two of them ask for then, `allocate` gives out once.
    """
    shares = fair_shares(budget, {name: (0, most) for name, most in wanted.items()})
    spare = budget - sum(shares.values())
    return {name: share + spare for name, share in shares.items()}


def _next_epoch(holders: Iterable[Holder]) -> int:
    """Later than any that was ever published to, or acknowledged by, one of these."""
    seen = [holder.epoch for holder in holders]
    seen += [holder.standing.epoch for holder in holders if holder.standing is not None]
    return max(seen, default=0) + 1


def _poorest_first(holder: Holder) -> tuple[int, str]:
    return holder.held, holder.worker_id
