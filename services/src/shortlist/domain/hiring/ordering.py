"""The total order of a line, and the keys that make it: who is next, without any renumbering.

A key is given once, when a placement joins the line or returns to it, and is compared, never
counted
up: the event that puts a placement at the end of the line has a higher sequence than every event
before it, so its sequence is the key (`joined`). The contract's sort key, ``MAX + 1 +
penaltyCount``, gives the same order: it too is higher than every key in use, and a gap of
``penaltyCount`` into which no placement is ever put cannot be seen. What can be seen of it is
``newPosition`` in the event (`new_position`).

A company's move puts a placement between two others: between two sequences there is always a
shorter or longer decimal fraction (`between`), however often the same gap is used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Literal, assert_never

if TYPE_CHECKING:
    from shortlist.domain.hiring.placement import Placement, PlacementId

Order = Literal["fifo", "score"]
"""``fifo``: by when a placement joined the line. ``score``: fewer misses, then the higher score,
then who applied first; the unscored come last among those with as many misses."""

UNSCORED = 1.0
"""The rank of a placement without a score: behind every score, since those rank from -100 to 0."""

EXACT = Context(prec=10_000)
"""Digits enough for some 30 000 moves into one and the same gap; Postgres's numeric holds more."""
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True, order=True)
class LineKey:
    """A place in line; the lesser key is nearer to the head.

    Attributes:
        misses: 0 in a ``fifo`` line.
        rank: minus the score, or `UNSCORED`; 0 in a ``fifo`` line.
        ordinal: the sequence of the event that decides between equals; a fraction after a move.
        placement_id: keeps the order total when an undone act restores a key that is in use.
    """

    misses: int
    rank: float
    ordinal: Decimal
    placement_id: PlacementId


def joined(
    order: Order,
    placement_id: PlacementId,
    *,
    sequence: int,
    applied_sequence: int,
    misses: int = 0,
    score: float | None = None,
) -> LineKey:
    """Return the key of a placement that joins the line, or returns to it, by the order's own rule.

    Args:
        order: the opening's.
        placement_id: whose key it is.
        sequence: of the event that puts it in line; higher than all before it in the opening.
        applied_sequence: of its APPLIED event.
        misses: offers that it let pass, the last one included.
        score: 0 to 100, or None.
    """
    match order:
        case "fifo":
            return LineKey(0, 0.0, Decimal(sequence), placement_id)
        case "score":
            return LineKey(misses, rank_of(score), Decimal(applied_sequence), placement_id)
        case _:
            assert_never(order)


def rank_of(score: float | None) -> float:
    """Return what a score is worth in a key: the less, the nearer to the head."""
    return UNSCORED if score is None else 0.0 - score


def rescored(order: Order, placement: Placement, score: float | None) -> LineKey:
    """Return a waiting placement's key after its score arrived.

    It stays where it is in a ``fifo`` line, and where the company has put it.
    """
    if order == "fifo" or placement.moved:
        return placement.key
    return replace(placement.key, misses=placement.misses, rank=rank_of(score))


def new_position(waiting: int, misses: int) -> int:
    """Return ``newPosition`` of a decay: the contract's ``MAX + 1 + penaltyCount``.

    Args:
        waiting: how many wait, before the placement returns to the line.
        misses: the new count, this miss included.
    """
    return waiting + 1 + misses


def inserted(previous: LineKey | None, following: LineKey | None, *, otherwise: LineKey) -> LineKey:
    """Return a key between two neighbours of a line.

    Between placements of unlike misses or rank it stands with the following one: what it borrows is
    a place, and its own misses and score stay what they are.

    Args:
        previous: the key in front of it; None at the head.
        following: the key behind it; None at the end of the line.
        otherwise: the key that the placement gets in an empty line; says also whose it is.
    """
    if following is None:
        if previous is None:
            return otherwise
        ordinal = max(_whole(previous.ordinal) + _ONE, otherwise.ordinal)
        return replace(previous, ordinal=ordinal, placement_id=otherwise.placement_id)
    if previous is None or (previous.misses, previous.rank) != (following.misses, following.rank):
        ordinal = _whole(following.ordinal) - _ONE
    elif previous.ordinal == following.ordinal:  # an undone act restored a key that is in use
        ordinal = previous.ordinal
    else:
        ordinal = between(previous.ordinal, following.ordinal)
    return replace(following, ordinal=ordinal, placement_id=otherwise.placement_id)


def _whole(ordinal: Decimal) -> Decimal:
    """Return the greatest whole number that is not above."""
    return ordinal.to_integral_value(rounding="ROUND_FLOOR")


def between(low: Decimal, high: Decimal) -> Decimal:
    """Return the shortest decimal strictly between two; ``low`` < ``high``, both finite.

    Shortest, so that a gap that is used again and again costs a digit for about three uses.
    """
    places = 0
    while True:
        step = _ONE.scaleb(-places)
        first = EXACT.add(low.quantize(step, rounding="ROUND_FLOOR", context=EXACT), step)
        if first < high:
            last = EXACT.subtract(
                high.quantize(step, rounding="ROUND_CEILING", context=EXACT), step
            )
            middle = EXACT.divide_int(EXACT.add(first, last), 2 * step)
            return EXACT.multiply(middle, step)
        places += 1
