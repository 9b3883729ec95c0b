"""What the leader shows of hiring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from shortlist.domain.hiring.ordering import Order
    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over the openings of one order that have not ended.

    Attributes:
        held: places taken, or offered.
        free: places that are neither.
        waiting: applicants in line.
        unfilled: openings with a free place beside an applicant who waits.
    """

    held: int = 0
    free: int = 0
    waiting: int = 0
    unfilled: int = 0


async def places(connection: Connection) -> dict[Order, Figures]:
    """Sum up the openings that have not ended, by the order of their lines."""
    rows = await SQL["hiring_figures.places"].fetch(connection)
    return {
        row["line_order"]: Figures(row["held"], row["free"], row["waiting"], row["unfilled"])
        for row in rows
    }
