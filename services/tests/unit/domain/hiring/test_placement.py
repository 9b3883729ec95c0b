from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from shortlist.domain.errors import ShortlistError
from shortlist.domain.hiring.placement import (
    LEGAL,
    IllegalTransitionError,
    PlacementEvent,
    Status,
    check_transition,
)

STATUSES: tuple[Status | None, ...] = (None, *get_args(Status))
CONTRACT: tuple[PlacementEvent, ...] = (
    "APPLIED",
    "PROMOTED",
    "ACKNOWLEDGED",
    "WITHDRAWN",
    "DECAY_TRIGGERED",
)


def test_what_the_contract_calls_legal_is_what_its_events_allow() -> None:
    allowed = {pair for event in CONTRACT for pair in LEGAL[event]}
    assert allowed == {
        (None, "ACTIVE"),
        (None, "WAITLIST"),
        ("WAITLIST", "PENDING_ACKNOWLEDGMENT"),
        ("WAITLIST", "INACTIVE"),
        ("PENDING_ACKNOWLEDGMENT", "ACTIVE"),
        ("PENDING_ACKNOWLEDGMENT", "WAITLIST"),
        ("PENDING_ACKNOWLEDGMENT", "INACTIVE"),
        ("ACTIVE", "INACTIVE"),
    }


@pytest.mark.parametrize("event", get_args(PlacementEvent))
def test_each_event_leads_only_where_it_may(event: PlacementEvent) -> None:
    for before, after in product(STATUSES, get_args(Status)):
        if (before, after) in LEGAL[event]:
            check_transition(event, before, after)
        else:
            with pytest.raises(IllegalTransitionError) as refused:
                check_transition(event, before, after)
            assert isinstance(refused.value, ShortlistError)
            assert (refused.value.before, refused.value.after) == (before, after)
