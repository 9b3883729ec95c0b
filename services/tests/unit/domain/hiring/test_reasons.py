from __future__ import annotations

from dataclasses import replace

import pytest

from shortlist.domain.hiring.acts import Withdraw
from shortlist.domain.hiring.deadlines import DAYS, AnswerHours
from shortlist.domain.hiring.opening import Rules, State
from shortlist.domain.hiring.reasons import Ahead, why_not_yet, why_the_line_stands
from testkit.hiring.memory import PERSON, Memory, at


@pytest.mark.parametrize(
    ("ahead", "sentence"),
    [
        (Ahead(0), "You are next in line."),
        (Ahead(1), "1 ahead: 1 joined the line earlier."),
        (
            Ahead(7, moved_at=(at(0), at(60))),
            "7 ahead: 5 joined the line earlier, 2 were moved up by the company on 4 May 2026.",
        ),
        (
            Ahead(6, fewer_misses=1, better_score=2, moved_at=(at(0), at(86_400))),
            (
                "6 ahead: 1 missed fewer offers, 2 have a better score, 1 joined the line earlier, "
                "1 was moved up by the company on 4 May 2026, "
                "1 was moved up by the company on 5 May 2026."
            ),
        ),
        (Ahead(1, better_score=1), "1 ahead: 1 has a better score."),
    ],
)
def test_an_applicant_is_told_who_is_ahead_and_why(ahead: Ahead, sentence: str) -> None:
    assert why_not_yet(ahead, []) == [sentence]


def test_an_applicant_is_told_of_a_missed_deadline() -> None:
    memory = Memory(Rules(capacity=1))
    for applicant in (1, 2, 3, 4):
        memory.apply(applicant)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(301)
    memory.settle()
    own = [e for e in memory.events if e.placement_id == memory.named(2).id]
    assert why_not_yet(Ahead(1), own, zone="Europe/Berlin") == [
        "1 ahead: 1 joined the line earlier.",
        (
            "You missed the deadline of an offer: back in line from 4 May 2026, 12:05 CEST, "
            "behind 2 others."
        ),
    ]


BERLIN = AnswerHours("Europe/Berlin", frozenset(DAYS), 0, 1440)


@pytest.mark.parametrize(
    ("state", "rules", "held", "waiting", "offers", "sentences"),
    [
        ("open", Rules(3), 2, 0, 0, ["No applicant waits."]),
        ("open", Rules(3), 3, 2, 0, ["Full: 3 of 3 places are held."]),
        (
            "open",
            Rules(3, answer_hours=BERLIN),
            3,
            2,
            2,
            [
                "Full: 3 of 3 places are held.",
                (
                    "2 of them are offers until 4 May 2026, 12:05 CEST, "
                    "the last until 4 May 2026, 12:06 CEST."
                ),
            ],
        ),
        (
            "closed",
            Rules(1),
            1,
            1,
            1,
            [
                "The opening is closed to new applications; its line still moves.",
                "Full: 1 of 1 places are held.",
                "1 of them is an offer until 4 May 2026, 10:05 UTC.",
            ],
        ),
        (
            "open",
            Rules(2),
            5,
            3,
            0,
            [
                (
                    "The capacity was lowered to 2 while 5 hold places: "
                    "4 must leave before the next is promoted."
                )
            ],
        ),
        (
            "open",
            replace(Rules(2), fill_from=at(3600)),
            0,
            3,
            0,
            ["Filling starts 4 May 2026, 11:00 UTC."],
        ),
        ("ended", Rules(2), 1, 0, 0, ["The opening has ended."]),
        ("open", Rules(2), 1, 1, 0, []),
    ],
)
def test_a_company_is_told_why_its_line_stands(
    state: State, rules: Rules, held: int, waiting: int, offers: int, sentences: list[str]
) -> None:
    assert (
        why_the_line_stands(
            state,
            rules,
            held=held,
            waiting=waiting,
            offers=[at(300 + 60 * number) for number in range(offers)],
            now=at(0),
        )
        == sentences
    )
