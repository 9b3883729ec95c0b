"""Who may hold how many connections: the sum never exceeds the budget (promise 8).

What a worker holds is the most of what it was granted, what it still believes it was granted, and
what is open. A smaller grant therefore frees nothing until its worker has obeyed it; a larger one
is given only out of what is free. So the order "shrink before grow" needs no bookkeeping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.connections import connections_wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shortlist.domain.pipeline import ScoringPipeline


@dataclass(frozen=True, slots=True)
class Member:
    """One worker as the budget sees it; all figures are connections."""

    worker_id: str
    least: int
    """k + 1: below it nothing can be scored."""
    wanted: int
    """What its whole concurrency needs."""
    granted: int
    """The last grant that was published for it, or what it started with."""
    believed: int
    """The grant that it said it keeps to."""
    open: int
    """What it reports or Postgres counts, whichever is more."""

    @property
    def held(self) -> int:
        """What the budget must set aside for it."""
        return max(self.granted, self.believed, self.open)


def least_connections(pipeline: ScoringPipeline) -> int:
    """What a worker starts with, until it is granted more: k + 1."""
    return pipeline.connections.overhead_per_worker + 1


def wanted_connections(pipeline: ScoringPipeline) -> int:
    """What lets a worker of this pipeline use its whole concurrency."""
    return connections_wanted(
        concurrency=pipeline.worker.concurrency,
        overhead=pipeline.connections.overhead_per_worker,
        mode=pipeline.connections.mode,
    )


def fair_shares(budget: int, members: Sequence[Member]) -> dict[str, int]:
    """Worker → its share: the least for everybody, the rest evenly, to none more than it wants."""
    shares = {member.worker_id: member.least for member in members}
    left = budget - sum(shares.values())
    in_order = sorted(members, key=lambda member: member.worker_id)  # the same, each time
    hungry = [member for member in in_order if member.wanted > member.least]
    while hungry and left > 0:
        each = left // len(hungry)
        hungry = hungry if each else hungry[:left]  # one more for as many as there are left
        each = max(1, each)
        for member in hungry:
            more = min(each, member.wanted - shares[member.worker_id])
            shares[member.worker_id] += more
            left -= more
        hungry = [member for member in hungry if shares[member.worker_id] < member.wanted]
    return shares


def next_grants(
    budget: int, members: Sequence[Member], *, held_by_others: int = 0, expected: int = 0
) -> dict[str, int]:
    """The grants to publish now, for the workers whose grant changes.

    Args:
        budget: connections that all workers together may hold.
        members: the workers that live.
        held_by_others: connections of workers that are gone but not yet closed, and of those that
            were started and have not reported yet.
        expected: connections that workers which are not here yet will need at least.
    """
    shares = fair_shares(budget - held_by_others - expected, members)
    free = budget - held_by_others - expected - sum(member.held for member in members)
    changed = {}
    for member in members:
        share = shares[member.worker_id]
        grant = min(share, member.granted + max(0, free)) if share > member.granted else share
        if grant > member.held:
            free -= grant - member.held
        if grant != member.granted:
            changed[member.worker_id] = grant
    return changed


def most_workers(budget: int, pipelines: Mapping[str, ScoringPipeline]) -> int:
    """How many workers of every pipeline fit into a budget at their least."""
    each = sum(least_connections(pipeline) for pipeline in pipelines.values())
    return budget // each if each else 0
