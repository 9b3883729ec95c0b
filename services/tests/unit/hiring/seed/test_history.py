from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from itertools import count

from shortlist.domain.hiring.audit import start_of_chain, verify
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
from shortlist.domain.hiring.replay import replay
from shortlist.hiring.seed.history import History, plan

NOW = dt.datetime(2026, 5, 4, 10, 0, tzinfo=dt.UTC)
OPENINGS = 30


def year(seed: int) -> list[History]:
    """Some openings, each with its events, until now."""
    chance = random.Random(seed)
    ids = count(1)
    made = []
    for number in range(1, OPENINGS + 1):
        history = History(
            OpeningId(number), plan(chance, NOW), lambda: PlacementId(next(ids)), chance
        )
        applicants = chance.sample(range(1, 1000), 60)
        history.run(NOW, [ApplicantId(one) for one in applicants])
        made.append(history)
    return made


def test_a_history_is_what_its_events_add_up_to() -> None:
    for history in year(1):
        standing = replay(history.id, history.events)
        verify(start_of_chain(history.id), history.events)
        assert standing.placements == history.placements
        assert standing.opening == history.opening


def test_a_year_has_events_of_each_kind_that_people_and_time_cause() -> None:
    kinds = Counter(event.type for history in year(1) for event in history.events)
    assert kinds.keys() == {
        "OPENED", "APPLIED", "PROMOTED", "ACKNOWLEDGED", "WITHDRAWN", "DECAY_TRIGGERED", "SCORED",
        "CLOSED", "ENDED",
    }  # fmt: skip


def test_no_event_is_in_the_future_and_none_is_older_than_a_year() -> None:
    times = [event.at for history in year(1) for event in history.events]
    assert NOW - dt.timedelta(days=366) < min(times)
    assert max(times) <= NOW


def test_deadlines_are_met_within_a_second() -> None:
    for history in year(1):
        deadlines = {}
        for event in history.events:
            if event.type == "PROMOTED":
                told = event.metadata["acknowledgeDeadline"]
                deadlines[event.placement_id] = dt.datetime.fromisoformat(told)
            if event.type == "DECAY_TRIGGERED":
                late = event.at - deadlines[event.placement_id]
                assert dt.timedelta(0) < late < dt.timedelta(seconds=1)


def test_the_same_seed_makes_the_same_year_and_another_one_another() -> None:
    heads = [[history.events[-1].digest for history in year(seed)] for seed in (1, 1, 2)]
    assert heads[0] == heads[1] != heads[2]
