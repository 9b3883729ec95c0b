"""What clients ask `Acts` for, when it takes more than a few words to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist.domain.hiring.company_acts import Action
    from shortlist.domain.hiring.opening import Rules
    from shortlist.domain.hiring.placement import PlacementId


@dataclass(frozen=True, slots=True)
class NewOpening:
    """An opening as a company describes it.

    A change names fields of this class or of `Rules`, as ``{"title": …, "capacity": …}``.

    Attributes:
        title: 1 to 200 characters.
        rules: may be out of bounds; `Acts` checks them.
        description: up to 20 000 characters.
        pipeline: where payloads are scored; None: the default pipeline.
        verify_email: whether an address is verified before it may apply.
    """

    title: str
    rules: Rules
    description: str | None = None
    pipeline: str | None = None
    verify_email: bool = False


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """What a company does to placements of one opening by hand.

    Attributes:
        action: to each of them.
        application_ids: 1 to 1 000, without repetitions; in this order.
        position: of a move: the first one's, from 1, counted among those who are not moved;
            beyond the end of the line is its end.
        reason: of the company. The audit has only its digest.
        notify: whether the applicants are told.
        dry_run: say what would happen, and do nothing.
    """

    action: Action
    application_ids: tuple[PlacementId, ...]
    position: int | None
    reason: str
    notify: bool = False
    dry_run: bool = False
