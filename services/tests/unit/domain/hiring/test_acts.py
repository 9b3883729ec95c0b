"""The contract's rules, one by one."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.hiring.acts import (
    Acknowledge,
    ChangeRules,
    ChangeState,
    Score,
    Withdraw,
    decide,
    needed_of_line,
)
from shortlist.domain.hiring.company_acts import CompanyAct, Outcome, Undo
from shortlist.domain.hiring.draft import BATCH, HeadTooShortError, Opening, Refused
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import Placement
from shortlist.domain.hiring.replay import replay
from shortlist.domain.hiring.settling import next_due
from testkit.hiring import must_hold
from testkit.hiring.memory import COMPANY, LINK, PERSON, Memory, at

if TYPE_CHECKING:
    from shortlist.domain.hiring.acts import Answer
    from shortlist.domain.hiring.company_acts import Action
    from shortlist.domain.hiring.ordering import LineKey


def opening(capacity: int = 1, applicants: int = 0, **rules: Any) -> Memory:
    """An opening to which applicants 1, 2, 3 … have applied."""
    memory = Memory(replace(Rules(capacity), **rules))
    for number in range(1, applicants + 1):
        memory.apply(number)
    return memory


def statuses(memory: Memory) -> str:
    """The newest placements' statuses by applicant: A, W, P or I for each."""
    newest = {p.applicant_id: p.status[0] for p in memory.placements.values()}
    return "".join(newest[number] for number in sorted(newest))


def line(memory: Memory) -> list[int]:
    """The applicants in line, in order."""
    return [p.applicant_id for p in memory.line()]


def company(memory: Memory, action: Action, *applicants: int, **where: LineKey | None) -> list[str]:
    targets = tuple(memory.named(number) for number in applicants)
    act = CompanyAct(
        COMPANY,
        f"{action}-1",
        action,
        targets,
        "digest",
        previous=where.get("previous"),
        following=where.get("following"),
    )
    (outcomes,) = memory.decide(act)
    return results(outcomes)


def results(answer: object) -> list[str]:
    assert isinstance(answer, tuple)
    return [outcome.result for outcome in answer if isinstance(outcome, Outcome)]


def undo(memory: Memory, action: Action) -> Answer:
    mine = [e for e in memory.events if e.metadata.get("actionId") == f"{action}-1"]
    targets = [memory.placements[e.placement_id] for e in mine if e.placement_id]
    act = Undo(COMPANY, f"{action}-1", tuple(targets), tuple(mine))
    return memory.decide(act)[0]


def code(answer: object) -> str:
    assert isinstance(answer, Refused)
    return answer.code


def test_a_free_place_is_given_at_once_and_then_applicants_wait() -> None:
    memory = opening(2, applicants=4)
    assert statuses(memory) == "AAWW"
    assert line(memory) == [3, 4]
    assert memory.named(1).promoted_at is None
    assert memory.named(1).deadline is None


def test_an_applicant_has_one_live_application_and_may_apply_again_after_it() -> None:
    memory = opening(1, applicants=2)
    assert code(memory.apply(2)) == "DUPLICATE_SUBMISSION"
    first = memory.named(2)
    memory.decide(Withdraw(PERSON, first))
    memory.apply(2)
    assert memory.named(2).id != first.id
    assert statuses(memory) == "AW"
    assert memory.named(2).misses == 0


def test_the_same_applicant_twice_in_one_transaction_applies_once() -> None:
    memory = opening(1)
    one, other = memory.decide(memory.application(1), memory.application(1))
    assert isinstance(one, Placement)
    assert code(other) == "DUPLICATE_SUBMISSION"


def test_a_place_that_opens_is_offered_in_the_same_transaction_and_is_held() -> None:
    memory = opening(1, applicants=3)
    memory.clock = at(7)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    assert statuses(memory) == "IPW"
    assert memory.named(2).deadline == at(307)
    assert memory.named(2).promoted_at == at(7)
    assert len(memory.transactions[-1].events) == 2


@pytest.mark.parametrize(("seconds", "answer"), [(300, "ACTIVE"), (300.001, "GONE")])
def test_an_offer_can_be_acknowledged_up_to_its_deadline(seconds: float, answer: str) -> None:
    memory = opening(1, applicants=2)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(seconds)
    (got,) = memory.decide(Acknowledge(LINK, memory.named(2)))
    assert answer == (got.status if isinstance(got, Placement) else code(got))


def test_an_acknowledgement_keeps_promoted_at_and_ends_the_deadline() -> None:
    memory = opening(1, applicants=2)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.decide(Acknowledge(LINK, memory.named(2)))
    assert memory.named(2).promoted_at == at(0)
    assert memory.named(2).deadline is None
    assert code(memory.decide(Acknowledge(LINK, memory.named(2)))[0]) == "CONFLICT"


def test_a_late_acknowledgement_decays_on_the_spot_and_promotes_the_next() -> None:
    memory = opening(1, applicants=3)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(301)
    assert code(memory.decide(Acknowledge(LINK, memory.named(2)))[0]) == "GONE"
    assert statuses(memory) == "IWP"
    assert memory.named(2).misses == 1
    assert memory.named(2).promoted_at is None
    decay = memory.transactions[-1].events[0]
    assert decay.type == "DECAY_TRIGGERED"
    assert decay.metadata == {"jobId": 9, "penaltyCount": 1, "newPosition": 1 + 1 + 1}
    # and again, as nothing has happened since; not after a new offer
    assert code(memory.decide(Acknowledge(LINK, memory.named(2)))[0]) == "GONE"
    memory.decide(Withdraw(PERSON, memory.named(3)))
    assert isinstance(memory.decide(Acknowledge(LINK, memory.named(2)))[0], Placement)


def test_who_missed_stands_behind_all_who_wait_then_and_before_all_who_come_later() -> None:
    memory = opening(1, applicants=4)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(301)
    memory.apply(5)
    assert line(memory) == [4, 2, 5]


def test_who_is_alone_in_line_is_offered_the_place_again_at_once_for_ever() -> None:
    memory = opening(1, applicants=2)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    for turn in range(1, 6):
        memory.clock = at(301 * turn)
        memory.settle()
        assert statuses(memory) == "IP"
        assert memory.named(2).misses == turn
        assert memory.events[-2].metadata["newPosition"] == 1 + turn


def test_a_late_acknowledgement_is_gone_even_if_the_place_was_offered_again() -> None:
    memory = opening(1, applicants=2)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(301)
    assert code(memory.decide(Acknowledge(LINK, memory.named(2)))[0]) == "GONE"
    assert memory.named(2).status == "PENDING_ACKNOWLEDGMENT"


def test_the_last_miss_ends_a_placement() -> None:
    memory = opening(1, applicants=2, max_misses=1)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(301)
    assert code(memory.decide(Acknowledge(LINK, memory.named(2)))[0]) == "GONE"
    assert statuses(memory) == "II"
    assert (memory.events[-1].type, memory.events[-1].to_status) == ("DECAY_TRIGGERED", "INACTIVE")


def test_withdrawing_twice_is_a_conflict() -> None:
    memory = opening(1, applicants=1)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    assert code(memory.decide(Withdraw(PERSON, memory.named(1)))[0]) == "CONFLICT"


def test_what_is_overdue_is_settled_before_a_newcomer_applies() -> None:
    memory = opening(1, applicants=2, max_misses=1)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(301)
    assert isinstance(memory.apply(3), Placement)
    assert statuses(memory) == "IIA"


def test_raised_capacity_promotes_at_once_and_lowered_evicts_no_one() -> None:
    memory = opening(1, applicants=4)
    memory.decide(ChangeRules(COMPANY, Rules(3)))
    assert statuses(memory) == "APPW"
    memory.decide(ChangeRules(COMPANY, Rules(1)))
    memory.decide(Withdraw(PERSON, memory.named(2)))
    memory.decide(Withdraw(PERSON, memory.named(1)))
    assert statuses(memory) == "IIPW"
    memory.decide(Withdraw(PERSON, memory.named(3)))
    assert statuses(memory) == "IIIP"


def test_a_stale_version_changes_nothing() -> None:
    memory = opening(1, applicants=2)
    assert code(memory.decide(ChangeRules(COMPANY, Rules(2), version=7))[0]) == "CONFLICT"
    (changed,) = memory.decide(ChangeRules(COMPANY, Rules(2), version=1))
    assert isinstance(changed, Opening)
    assert changed.version == 2
    events = len(memory.events)
    memory.decide(ChangeRules(COMPANY, Rules(2)))
    assert len(memory.events) == events, "the same rules are no change"


def test_the_order_does_not_change_under_those_who_wait() -> None:
    memory = opening(1, applicants=2)
    assert code(memory.decide(ChangeRules(COMPANY, Rules(1, order="score")))[0]) == "CONFLICT"
    memory.decide(Withdraw(PERSON, memory.named(2)))
    assert isinstance(memory.decide(ChangeRules(COMPANY, Rules(1, order="score")))[0], Opening)


def test_a_large_raise_is_filled_in_steps_that_leave_no_free_place_beside_the_line() -> None:
    memory = opening(1, applicants=2 * BATCH + 50)
    memory.decide(ChangeRules(COMPANY, Rules(5 * BATCH), version=1))
    assert memory.opening.rules.capacity == 5 * BATCH
    assert not memory.line()
    steps = [t for t in memory.transactions if t.events and t.events[0].type == "RULES_CHANGED"]
    assert len(steps) == 3
    assert all(t.events[-1].held == t.opening.rules.capacity for t in steps[:-1])
    assert max(len(t.events) for t in steps) <= BATCH + 1
    must_hold.check(memory)


def test_offers_that_run_out_together_are_settled_in_transactions_of_bounded_length() -> None:
    memory = opening(3 * BATCH, applicants=0, confirm="everyone")
    memory.decide(*(memory.application(n) for n in range(3 * BATCH)))
    memory.decide(*(memory.application(1000 + n) for n in range(3 * BATCH)))
    memory.clock = at(301)
    before = len(memory.transactions)
    assert isinstance(memory.apply(9000), Placement)
    settling = memory.transactions[before:]
    assert len(settling) == 4
    assert max(len(t.events) for t in settling) <= 3 * BATCH
    assert [t.again for t in settling] == [True, True, True, False]
    assert not any(t.answers for t in settling[:-1]), "nothing happens before all is settled"
    must_hold.check(memory)
    must_hold.nothing_is_overdue(memory, memory.now)


def test_until_fill_from_all_wait_and_then_the_first_in_line_get_offers() -> None:
    memory = opening(2, applicants=3, fill_from=at(60))
    assert statuses(memory) == "WWW"
    memory.clock = at(60)
    memory.settle()
    assert statuses(memory) == "PPW"


def test_the_best_get_offers_when_a_line_by_score_is_filled() -> None:
    memory = opening(2, applicants=4, order="score", fill_from=at(60))
    for applicant, score in ((1, 40.0), (2, None), (3, 90.0), (4, 40.5)):
        memory.decide(Score(PERSON, memory.named(applicant), "s", score))
    assert line(memory) == [3, 4, 1, 2]
    memory.clock = at(60)
    memory.settle()
    assert statuses(memory) == "WWPP"


def test_a_score_that_arrives_late_moves_only_who_still_waits() -> None:
    memory = opening(1, applicants=3, order="score")
    memory.decide(Score(PERSON, memory.named(3), "s", 10.0))
    assert line(memory) == [3, 2]
    memory.decide(Score(PERSON, memory.named(1), "s", 99.0))
    assert statuses(memory) == "AWW"
    assert memory.named(1).score == 99.0


def test_everyone_confirms_where_the_company_wants_it() -> None:
    memory = opening(1, applicants=2, confirm="everyone")
    assert statuses(memory) == "PW"
    assert [e.type for e in memory.events[1:3]] == ["APPLIED", "PROMOTED"]
    assert memory.named(1).deadline == at(300)


def test_a_closed_opening_takes_no_one_and_its_line_moves() -> None:
    memory = opening(1, applicants=2)
    memory.decide(ChangeState(COMPANY, "close"))
    assert code(memory.apply(3)) == "CONFLICT"
    memory.decide(Withdraw(PERSON, memory.named(1)))
    assert statuses(memory) == "IP"
    memory.decide(ChangeState(COMPANY, "reopen"))
    assert isinstance(memory.apply(3), Placement)


def test_closes_at_closes_once_and_a_reopened_opening_stays_open() -> None:
    memory = opening(1, applicants=1, closes_at=at(60))
    memory.clock = at(60)
    assert code(memory.apply(2)) == "CONFLICT"
    assert memory.events[-1].type == "CLOSED"
    memory.decide(ChangeState(COMPANY, "reopen"))
    assert isinstance(memory.apply(2), Placement)


def test_once_ended_no_one_waits_or_is_pending_and_who_is_active_stays() -> None:
    memory = opening(2, applicants=2 * BATCH + 10)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    (ended,) = memory.decide(ChangeState(COMPANY, "end"))
    assert isinstance(ended, Opening)
    assert ended.state == "ended"
    assert {p.status for p in memory.placements.values()} == {"ACTIVE", "INACTIVE"}
    assert statuses(memory).count("A") == 1
    assert code(memory.apply(999)) == "CONFLICT"
    assert code(memory.decide(ChangeState(COMPANY, "reopen"))[0]) == "CONFLICT"
    must_hold.check(memory)


def test_a_company_removes_several_and_the_next_are_promoted() -> None:
    memory = opening(2, applicants=5)
    assert company(memory, "remove", 1, 3, 1) == ["removed", "removed", "already_inactive"]
    assert statuses(memory) == "IAIPW"
    assert memory.events[-2].metadata["actionId"] == "remove-1"
    assert memory.events[-2].metadata["reasonDigest"] == "digest"


def test_a_company_moves_several_to_a_position_in_the_order_it_named() -> None:
    memory = opening(1, applicants=5)
    keys = [p.key for p in memory.line() if p.applicant_id not in (5, 4)]
    moved = company(memory, "move", 5, 4, 1, previous=keys[0], following=keys[1])
    assert moved == ["moved", "moved", "not_waiting"]
    assert line(memory) == [2, 5, 4, 3]


def test_a_company_promotes_out_of_turn_only_into_a_place() -> None:
    memory = opening(1, applicants=3, fill_from=at(60))
    assert company(memory, "promote", 2, 3) == ["promoted", "no_place"]
    assert statuses(memory) == "WPW"
    assert company(memory, "promote", 2) == ["not_waiting"]


def test_a_company_reinstates_to_a_free_place_or_to_the_end_of_the_line() -> None:
    memory = opening(1, applicants=3)
    memory.decide(Withdraw(PERSON, memory.named(2)))
    assert company(memory, "reinstate", 2, 3) == ["reinstated", "not_inactive"]
    assert line(memory) == [3, 2]
    alone = opening(1, applicants=1)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    alone.decide(Withdraw(PERSON, alone.named(1)))
    assert company(alone, "reinstate", 1) == ["reinstated"]
    assert statuses(alone) == "A"


def test_who_applied_again_is_not_reinstated_beside_it() -> None:
    memory = opening(1, applicants=2)
    old = memory.named(2)
    memory.decide(Withdraw(PERSON, old))
    memory.apply(2)
    act = CompanyAct(
        COMPANY, "r-1", "reinstate", (old,), "digest", live_elsewhere=frozenset({old.id})
    )
    assert results(memory.decide(act)[0]) == ["applied_again"]


def test_the_removed_return_to_their_old_place_in_line_or_to_their_place() -> None:
    memory = opening(2, applicants=5)
    company(memory, "remove", 4)
    memory.apply(6)
    assert results(undo(memory, "remove")) == ["undone"]
    assert line(memory) == [3, 4, 5, 6]
    memory = opening(1, applicants=1)
    company(memory, "remove", 1)
    assert results(undo(memory, "remove")) == ["undone"]
    assert statuses(memory) == "A"


def test_the_removed_come_first_in_line_when_their_place_is_taken() -> None:
    memory = opening(2, applicants=5)
    company(memory, "remove", 1, 2)
    assert statuses(memory) == "IIPPW"
    assert results(undo(memory, "remove")) == ["undone", "undone"]
    assert line(memory) == [1, 2, 5]


def test_a_score_that_came_in_between_counts_when_the_removed_return() -> None:
    memory = opening(1, applicants=3, order="score")
    memory.decide(Score(PERSON, memory.named(2), "s", 50.0))
    company(memory, "remove", 3)
    memory.decide(Score(PERSON, memory.named(3), "s", 60.0))
    assert results(undo(memory, "remove")) == ["undone"]
    assert line(memory) == [3, 2]


def test_an_undo_after_15_minutes_or_after_another_change_does_nothing() -> None:
    memory = opening(1, applicants=3)
    company(memory, "remove", 2, 3)
    company(memory, "reinstate", 2)
    assert results(undo(memory, "remove")) == ["changed_since", "undone"]
    memory.clock = at(15 * 60)
    assert results(undo(memory, "remove")) == ["changed_since", "changed_since"]
    memory.clock = at(15 * 60 + 0.001)
    assert code(undo(memory, "remove")) == "GONE"


def test_an_offer_out_of_turn_is_taken_back() -> None:
    memory = opening(1, applicants=3, fill_from=at(60))
    company(memory, "promote", 2)
    assert results(undo(memory, "promote")) == ["undone"]
    assert statuses(memory) == "WWW"
    assert line(memory) == [1, 2, 3]


def test_a_move_and_a_reinstatement_are_taken_back() -> None:
    memory = opening(1, applicants=4)
    company(memory, "move", 4, previous=None, following=memory.line()[0].key)
    assert line(memory) == [4, 2, 3]
    undo(memory, "move")
    assert line(memory) == [2, 3, 4]
    memory.decide(Withdraw(PERSON, memory.named(3)))
    company(memory, "reinstate", 3)
    undo(memory, "reinstate")
    assert statuses(memory) == "AWIW"


def test_a_decision_is_not_made_on_a_part_of_the_line_that_is_too_short() -> None:
    memory = opening(1, applicants=4)
    act = Withdraw(PERSON, memory.named(1))
    locked = memory.locked((act,))
    assert needed_of_line(locked, (act,)) == len(locked.head) == 1
    with pytest.raises(HeadTooShortError):
        decide(replace(locked, head=()), (act,))


def test_a_dry_run_says_what_would_happen_and_changes_nothing() -> None:
    memory = opening(1, applicants=3)
    act = CompanyAct(COMPANY, "d-1", "remove", (memory.named(1),), "digest")
    would = decide(memory.locked((act,)), (act,))
    assert [p.status for p in would.placements] == ["INACTIVE", "PENDING_ACKNOWLEDGMENT"]
    assert statuses(memory) == "AWW"


def test_another_title_is_another_version_and_the_audit_says_so_without_the_title() -> None:
    memory = opening(1)
    memory.decide(ChangeRules(COMPANY, memory.opening.rules, texts=True))
    assert memory.opening.version == 2
    assert memory.events[-1].type == "RULES_CHANGED"
    assert replay(memory.id, memory.events).opening == memory.opening


def test_the_next_thing_that_time_causes_is_the_earliest() -> None:
    rules = Rules(1, fill_from=at(60), closes_at=at(90))
    assert next_due(Opening(rules), at(30)) == at(60)
    assert next_due(Opening(rules), at(60)) == at(90), "what has come is settled"
    assert next_due(Opening(replace(rules, fill_from=None)), at(0)) == at(90)
    assert next_due(Opening(rules, "closed"), at(60)) is None


def test_a_clock_that_was_set_back_does_not_lengthen_an_offer() -> None:
    memory = opening(1, applicants=2)
    memory.decide(Withdraw(PERSON, memory.named(1)))
    memory.clock = at(301)
    memory.apply(3)
    memory.clock -= dt.timedelta(hours=1)
    memory.apply(4)
    assert memory.events[-1].at == at(301)
