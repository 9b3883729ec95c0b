"""How openings that are due are put in groups, whose locks are held for no longer than 100 ms."""

from __future__ import annotations

from shortlist.domain.hiring.draft import BATCH
from shortlist.domain.hiring.placement import OpeningId
from shortlist.maintenance.agents.hiring.settler import MOST_OPENINGS, groups
from shortlist.storage.postgres.queries.hiring.leader.deadlines import Due


def sizes(*items: int) -> list[list[int]]:
    due = [Due(OpeningId(number), each, 0.0) for number, each in enumerate(items)]
    return [[one.items for one in group] for group in groups(due)]


def test_many_openings_with_little_each_are_settled_together_so_many_at_once() -> None:
    assert [len(group) for group in sizes(*[1] * 150)] == [MOST_OPENINGS, MOST_OPENINGS, 22]


def test_a_group_has_no_more_items_than_one_transaction_may_have() -> None:
    assert sizes(BATCH - 1, 1, 1, BATCH) == [[BATCH - 1, 1], [1], [BATCH]]


def test_an_opening_with_more_is_alone() -> None:
    assert sizes(1, 5 * BATCH, 1) == [[1], [5 * BATCH], [1]]
    assert sizes() == []
