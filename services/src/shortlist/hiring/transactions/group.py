"""Decides asks about several openings in one transaction, each with its own answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shortlist.domain.hiring.acts import Apply, ChangeRules, decide
from shortlist.domain.hiring.audit import tail_of
from shortlist.domain.hiring.draft import Opening, Refused
from shortlist.domain.hiring.placement import Placement
from shortlist.hiring.errors import HiringError
from shortlist.hiring.transactions import answering, locking
from shortlist.hiring.transactions.asked import (
    Acknowledging,
    Applying,
    Changing,
    Withdrawing,
)
from shortlist.hiring.transactions.idempotency import IdempotencyKeys
from shortlist.hiring.transactions.translating import act_of
from shortlist.hiring.transactions.writing import write
from shortlist.storage.postgres.queries.hiring import applicants, opening_events, openings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shortlist.domain.hiring.acts import Act, Decision
    from shortlist.domain.hiring.acts import Answer as Decided
    from shortlist.domain.hiring.audit import Event
    from shortlist.domain.hiring.placement import OpeningId, PlacementId
    from shortlist.domain.line.application import NewApplication
    from shortlist.hiring.transactions.asked import Answer, Ask, ByHand
    from shortlist.hiring.transactions.locking import LockedState
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.hiring.openings import OpeningRow, Texts


@dataclass(slots=True)
class Outcome:
    """What a transaction did.

    Attributes:
        locked_at: when it had locked its openings (`time.monotonic`).
        answers: by the place of the ask in the group.
        held: places of asks whose openings another transaction holds: nothing was done.
        left: asks that are to be decided in another transaction, by their places.
        newest: of each opening to which events were appended, the newest.
        submitted: payloads that were submitted for scoring.
    """

    locked_at: float
    answers: dict[int, Answer] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    left: dict[int, Ask | ByHand] = field(default_factory=dict)
    newest: dict[OpeningId, Event] = field(default_factory=dict)
    submitted: list[NewApplication] = field(default_factory=list)


@dataclass(slots=True)
class _Asked:
    """An ask that has become an act, and what was decided on it; None: nothing yet."""

    place: int
    ask: Ask
    act: Act
    decided: Decided | None = None


_Acts = dict["OpeningId", list[_Asked]]
"""By opening, in the order in which they were asked."""


async def was_committed(connection: Connection, newest: Mapping[OpeningId, Event]) -> bool:
    """Tell whether an earlier try was committed after all, by its events.

    Args:
        connection: whose transaction has its openings locked.
        newest: the events that it appended last; without any nothing can be told, nor matters.
    """
    events = list(newest.values())
    return bool(events) and await opening_events.is_there(connection, events[0])


async def run(
    connection: Connection,
    asks: Mapping[int, Ask],
    earlier: Outcome | None = None,
    *,
    waits: bool = True,
) -> Outcome:
    """Lock, decide and write. The order of the locks: openings, idempotency keys, applicants.

    Args:
        connection: in a transaction, which the caller commits.
        asks: by their places in the group, in order.
        earlier: what an earlier try with the same asks has written, of which it is not known
            whether it was committed. If it was, it is returned, and nothing is written.
        waits: for openings that another transaction holds; else their asks are left as they are.
    """
    state = await _lock(connection, asks, waits=waits)
    if earlier is not None and await was_committed(connection, earlier.newest):
        return earlier
    held = set() if waits else {place for place, ask in asks.items() if not _is_locked(state, ask)}
    asks = {place: ask for place, ask in asks.items() if place not in held}
    keys = IdempotencyKeys(asks)
    outcome = Outcome(state.locked_at, await keys.take(connection), held)
    todo = {
        place: ask
        for place, ask in asks.items()
        if place not in outcome.answers and not keys.comes_again(place)
    }
    await locking.find_applicants(connection, state, _applying(todo))
    acts = _translate(state, todo, outcome)
    decisions = await _decide(connection, state, acts)
    texts = _texts(state, acts, decisions)
    outcome.submitted = await write(
        connection, state, decisions, scorings=_scorings(acts), texts=texts
    )
    await _unmake_applicants(connection, state, decisions)
    outcome.newest = {w: d.changes[-1].event for w, d in decisions.items() if d.changes}
    await _tell(connection, state, acts, decisions, outcome)
    outcome.answers |= keys.repeated(outcome.answers)
    outcome.left = _left(asks, acts, decisions, outcome)
    await keys.keep(connection, outcome.answers)
    return outcome


async def _lock(connection: Connection, asks: Mapping[int, Ask], *, waits: bool) -> LockedState:
    opening_ids = set()
    named = set()
    for ask in asks.values():
        if isinstance(ask, Withdrawing | Acknowledging):
            named.add(ask.placement_id)
        else:
            opening_ids.add(ask.opening_id)
    new = locking.count_new(_applying(asks))
    return await locking.lock(connection, opening_ids, named, new, waits=waits)


def _is_locked(state: LockedState, ask: Ask) -> bool:
    """Tell whether an ask can be decided; one about a placement that is not there can."""
    if isinstance(ask, Withdrawing | Acknowledging):
        where = state.opening_of(ask.placement_id)
        return where is None or where in state.openings
    return ask.opening_id in state.openings


def _applying(asks: Mapping[int, Ask]) -> list[Applying]:
    return [ask for ask in asks.values() if isinstance(ask, Applying)]


def _translate(state: LockedState, asks: Mapping[int, Ask], outcome: Outcome) -> _Acts:
    """Make each ask an act; those that cannot be one are answered."""
    acts: _Acts = {}
    for place, ask in asks.items():
        try:
            opening_id, act = act_of(state, ask)
        except HiringError as refusal:
            outcome.answers[place] = refusal
        else:
            acts.setdefault(opening_id, []).append(_Asked(place, ask, act))
    return acts


async def _decide(
    connection: Connection, state: LockedState, acts: _Acts
) -> dict[OpeningId, Decision]:
    """Decide on each opening, and note what was decided on each act."""
    by_opening = {where: [asked.act for asked in mine] for where, mine in acts.items()}
    locked = await locking.read_lines(connection, state, by_opening)
    decisions = {where: decide(one, by_opening.get(where, ())) for where, one in locked.items()}
    for where, mine in acts.items():
        for asked, decided in zip(mine, decisions[where].answers, strict=False):  # some are left
            asked.decided = decided
    return decisions


def _scorings(acts: _Acts) -> dict[PlacementId, NewApplication]:
    """Return the payloads of those who apply."""
    return {
        asked.act.placement_id: asked.ask.scoring
        for mine in acts.values()
        for asked in mine
        if isinstance(asked.act, Apply)
        and isinstance(asked.ask, Applying)
        and asked.ask.scoring is not None
    }


def _texts(
    state: LockedState, acts: _Acts, decisions: Mapping[OpeningId, Decision]
) -> dict[OpeningId, Texts]:
    """Return the texts of openings whose change was accepted, or done in part."""
    return {
        where: openings.with_changes(state.openings[where], asked.ask.changes)[0]
        for where, mine in acts.items()
        for asked in mine
        if isinstance(asked.ask, Changing)
        if isinstance(asked.decided, Opening) or _is_done_in_part(asked, decisions[where])
    }


def _is_done_in_part(asked: _Asked, decision: Decision) -> bool:
    """Tell whether a change of rules was begun: what is left of it is another act."""
    return bool(
        isinstance(asked.act, ChangeRules) and decision.left and decision.left[0] is not asked.act
    )


async def _unmake_applicants(
    connection: Connection, state: LockedState, decisions: Mapping[OpeningId, Decision]
) -> None:
    """Remove applicants who were made for an application that was not accepted."""
    applied = {p.applicant_id for d in decisions.values() for p in d.placements}
    unmade = {one.id for one in state.people.values() if one.is_new} - applied
    if unmade:
        await applicants.unmake(connection, unmade)


async def _tell(
    connection: Connection,
    state: LockedState,
    acts: _Acts,
    decisions: Mapping[OpeningId, Decision],
    outcome: Outcome,
) -> None:
    """Answer the asks that were decided on."""
    waiting = [
        (where, asked.decided)
        for where, asked in _placed(acts)
        if isinstance(asked.decided, Placement)
        and answering.stands_where_its_score_puts_it(decisions[where], asked.decided)
    ]
    positions = await answering.positions(connection, waiting) if waiting else {}
    for where, asked in _placed(acts):
        if asked.decided is not None:
            outcome.answers[asked.place] = _answer(state, where, decisions[where], asked, positions)


def _placed(acts: _Acts) -> Iterator[tuple[OpeningId, _Asked]]:
    for where, mine in acts.items():
        for asked in mine:
            yield where, asked


def _answer(
    state: LockedState,
    where: OpeningId,
    decision: Decision,
    asked: _Asked,
    positions: Mapping[int, int],
) -> Answer:
    match asked.decided:
        case Refused() as refused:
            return answering.refusal(refused)
        case Opening() as opening:
            newest = decision.changes[-1].event if decision.changes else None
            tail = tail_of(newest) if newest else state.ends[where].tail
            return answering.job(_row_after(state.openings[where], opening, asked.ask), tail)
        case Placement() as placement:
            position = positions.get(placement.id)
            if position is None:
                before = state.ends[where].tail.sequence
                position = answering.position_at_the_end(decision, before, placement)
            scoring = asked.ask.scoring if isinstance(asked.ask, Applying) else None
            return answering.result(where, placement, position, scoring)
        case other:
            raise AssertionError(other)


def _row_after(row: OpeningRow, opening: Opening, ask: Ask) -> OpeningRow:
    texts = openings.with_changes(row, ask.changes)[0] if isinstance(ask, Changing) else row.texts
    return replace(row, opening=opening, texts=texts)


def _left(
    asks: Mapping[int, Ask],
    acts: _Acts,
    decisions: Mapping[OpeningId, Decision],
    outcome: Outcome,
) -> dict[int, Ask | ByHand]:
    """Return the asks without an answer; of a change that was done in part what is left of it."""
    left: dict[int, Ask | ByHand] = {
        place: ask for place, ask in asks.items() if place not in outcome.answers
    }
    for where, asked in _placed(acts):
        if isinstance(asked.ask, Changing) and _is_done_in_part(asked, decisions[where]):
            left[asked.place] = replace(asked.ask, version=None)  # it was right, and is past
    return left
