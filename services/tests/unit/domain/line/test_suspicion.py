from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.domain.line.application import ApplicationId
from shortlist.domain.line.suspicion import (
    CONVICTED_AFTER,
    LONGEST_PROOF_SECONDS,
    Suspect,
    is_convicted,
    is_proved,
    is_suspect,
    must_be_alone,
    why_convicted,
    why_crashed,
)

ONE = ApplicationId(UUID(int=1))


def proved(since_claim_seconds: float, worker_age_seconds: float) -> bool:
    return is_proved(Suspect(ONE, 3, 1, since_claim_seconds, worker_age_seconds))


@pytest.mark.parametrize(("abandoned", "suspect"), [(0, False), (1, False), (2, True), (9, True)])
def test_what_was_abandoned_twice_is_a_suspect(abandoned: int, *, suspect: bool) -> None:
    assert is_suspect(abandoned) is suspect


@pytest.mark.parametrize(("abandoned", "alone"), [(2, False), (3, True), (9, True)])
def test_what_died_once_more_though_in_a_process_of_its_own_must_be_alone(
    abandoned: int, *, alone: bool
) -> None:
    assert must_be_alone(Suspect(ONE, abandoned, 0, 1.0, 1.0)) is alone


@pytest.mark.parametrize(
    ("abandoned", "alone", "others_end", "convicted"),
    [
        (3, 2, True, False),
        (4, 1, True, False),
        (4, 2, True, True),
        (99, 0, True, False),  # in company, however often
        (3, 3, True, False),  # a worker of one slot is always alone
        (4, 4, True, True),
        (24, 22, False, False),  # nothing else is scored: is it the world that kills workers?
        (25, 23, False, True),
        (99, 1, False, False),
    ],
)
def test_only_deaths_alone_convict(
    abandoned: int, alone: int, *, others_end: bool, convicted: bool
) -> None:
    assert is_convicted(abandoned=abandoned, alone=alone, others_end=others_end) is convicted


def test_the_reason_tells_what_happened() -> None:
    assert why_convicted(abandoned=3, alone=2).endswith("once in company, 2 times alone")
    why = why_crashed("it was ended by SIGSEGV", crashes=2)
    assert why == (
        "its scoring process died, 2 times by now, while its worker lived: it was ended by SIGSEGV"
    )


@pytest.mark.parametrize(
    ("since", "age", "is_old_enough"),
    [
        (3.0, 1.9, False),
        (3.0, 2.1, True),
        (3600.0, LONGEST_PROOF_SECONDS - 1, False),
        (3600.0, LONGEST_PROOF_SECONDS, True),
        (3600.0, -3600.0, True),  # clocks that were set back keep nothing waiting
        (-3600.0, 0.0, True),
    ],
)
def test_a_worker_must_have_outlived_what_may_have_killed_the_last_one(
    since: float, age: float, *, is_old_enough: bool
) -> None:
    assert proved(since, age) is is_old_enough


def test_what_never_was_alone_need_not_wait_for_proof() -> None:
    assert is_proved(Suspect(ONE, 2, 0, 100.0, 0.0))


@given(
    period=st.floats(1.0, LONGEST_PROOF_SECONDS),
    start=st.floats(0.5, 3.0),
    score_share=st.floats(0.05, 0.75),
    looks_share=st.floats(0.01, 0.2),
    first_share=st.floats(0.0, 0.5),
    unproved=st.sampled_from([3, 4]),
)
def test_regular_kills_from_outside_convict_nothing(
    *,
    period: float,
    start: float,
    score_share: float,
    looks_share: float,
    first_share: float,
    unproved: int,
) -> None:
    """All workers are killed each ``period``; one application is claimed as soon as it may be.

    ``unproved``: claims that need no proof: two in company, one apart, and the first alone; one
    fewer where a worker has one slot. One more death convicts.
    """
    looks, first = looks_share * period, first_share * period
    score = score_share * period
    claims: list[float] = []  # each of them ended by a kill
    for cycle in range(20):
        born, killed = cycle * (period + start), cycle * (period + start) + period
        now = born + first
        while now < killed:
            if len(claims) < unproved or proved(now - claims[-1], now - born):
                if now + score < killed:
                    return  # scored
                claims.append(now)
                break
            now += looks
    assert len(claims) < unproved + 1
    assert unproved + 1 >= CONVICTED_AFTER


def test_a_poisonous_one_is_tried_again_as_soon_as_its_successor_has_outlived_it() -> None:
    """It kills within a second, a successor needs two: nine seconds later it is tried again."""
    waits = [now for now in (3.1, 4.0, 6.0, 8.9, 9.0) if proved(now, now - 3.0)]
    assert waits == [9.0]
