"""What is asked of openings. Under the lock each becomes an act of `shortlist.domain.hiring`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from shortlist.hiring.views import ActionResult, Job, Result, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
    from shortlist.domain.line.application import NewApplication
    from shortlist.hiring.by import By
    from shortlist.hiring.errors import HiringError
    from shortlist.hiring.requests import ActionRequest
    from shortlist.storage.postgres.queries.hiring.applicants import Person
    from shortlist.storage.postgres.queries.hiring.company_actions import ActionRow

StateChange = Literal["close", "reopen", "end"]


@dataclass(frozen=True, slots=True)
class Applying:
    """An applicant applies, who is known by id, or is found or made by address.

    ``scoring``: the payload, which is submitted for scoring if the application is accepted.
    """

    by: By
    opening_id: OpeningId
    who: ApplicantId | Person
    scoring: NewApplication | None = None


@dataclass(frozen=True, slots=True)
class Withdrawing:
    """An applicant leaves, or is removed."""

    by: By
    placement_id: PlacementId


@dataclass(frozen=True, slots=True)
class Acknowledging:
    """An applicant takes the place that was offered."""

    by: By
    placement_id: PlacementId


@dataclass(frozen=True, slots=True)
class Changing:
    """A company changes fields of an opening; ``version``: which one it saw, None: any."""

    by: By
    opening_id: OpeningId
    changes: Mapping[str, Any]
    version: int | None


@dataclass(frozen=True, slots=True)
class ChangingState:
    """A company closes, reopens or ends an opening."""

    by: By
    opening_id: OpeningId
    change: StateChange
    reason: str | None


@dataclass(frozen=True, slots=True)
class ActingByHand:
    """A company acts on placements."""

    by: By
    opening_id: OpeningId
    request: ActionRequest


@dataclass(frozen=True, slots=True)
class Undoing:
    """A company takes an act back."""

    by: By
    action: ActionRow

    @property
    def opening_id(self) -> OpeningId:
        """The act's."""
        return self.action.opening_id


OfPlacement = Withdrawing | Acknowledging
OfOpening = Applying | Changing | ChangingState
Ask = OfPlacement | OfOpening
"""What is decided in groups, many in one transaction."""

ByHand = ActingByHand | Undoing
"""What is a transaction of its own."""

Answer: TypeAlias = "View | HiringError"
"""What an ask is answered: a view, or a refusal."""

VIEWS: Mapping[type, type[View]] = {
    Applying: Result,
    Withdrawing: Result,
    Acknowledging: Result,
    Changing: Job,
    ChangingState: Job,
    ActingByHand: ActionResult,
    Undoing: ActionResult,
}
"""What each is answered when it is not refused."""
