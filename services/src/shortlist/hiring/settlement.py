"""Settles openings for the leader: what time has caused, and scores that have arrived.

Each act settles its opening first; this is for those to which nothing else happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.hiring.acts import Score, decide
from shortlist.domain.hiring.audit import SYSTEM
from shortlist.hiring.transactions import locking
from shortlist.hiring.transactions.writing import write
from shortlist.runtime.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from shortlist.domain.hiring.acts import Act, Decision
    from shortlist.domain.hiring.placement import OpeningId, PlacementId
    from shortlist.hiring.transactions.locking import LockedState
    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class ArrivedScore:
    """A placement's payload was scored. ``score``: 0 to 100; None: scoring failed."""

    placement_id: PlacementId
    scoring_id: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What a transaction settled.

    Attributes:
        again: openings of which more is overdue than one transaction may settle: commit, and
            settle them again.
        sequences: the newest of each opening to which events were appended.
        left: scores that are not recorded yet, of openings in ``again``.
    """

    again: frozenset[OpeningId]
    sequences: Mapping[OpeningId, int]
    left: Mapping[OpeningId, Sequence[ArrivedScore]]


async def settle(
    connection: Connection,
    openings: Collection[OpeningId],
    scores: Mapping[OpeningId, Sequence[ArrivedScore]] | None = None,
) -> Settled:
    """Settle openings, then record scores, in the transaction that the caller has opened.

    Openings and placements that are not there are passed over.
    """
    arrived = scores or {}
    named = {score.placement_id for mine in arrived.values() for score in mine}
    state = await locking.lock(connection, {*openings, *arrived}, named)
    known = {where: _known(state, where, mine) for where, mine in arrived.items()}
    acts = {where: _acts(state, mine) for where, mine in known.items() if mine}
    locked = await locking.read_lines(connection, state, acts)
    decisions = {where: decide(one, acts.get(where, ())) for where, one in locked.items()}
    await write(connection, state, decisions)
    await failpoint("hiring.before_commit")
    return _settled(decisions, known)


def _known(
    state: LockedState, where: OpeningId, scores: Sequence[ArrivedScore]
) -> list[ArrivedScore]:
    return [score for score in scores if state.opening_of(score.placement_id) == where]


def _acts(state: LockedState, scores: Sequence[ArrivedScore]) -> list[Act]:
    return [
        Score(
            SYSTEM,
            state.placements[score.placement_id].placement,
            score.scoring_id,
            score.score,
        )
        for score in scores
    ]


def _settled(
    decisions: Mapping[OpeningId, Decision], scores: Mapping[OpeningId, Sequence[ArrivedScore]]
) -> Settled:
    return Settled(
        again=frozenset(where for where, decision in decisions.items() if decision.again),
        sequences={
            where: decision.changes[-1].event.sequence
            for where, decision in decisions.items()
            if decision.changes
        },
        left={
            where: scores[where][len(decision.answers) :]
            for where, decision in decisions.items()
            if decision.left
        },
    )
