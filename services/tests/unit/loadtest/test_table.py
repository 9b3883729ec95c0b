"""Who wins: the verdicts, and (slow) the verdicts that ``docs/autoscaling-figures.md`` shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loadtest.simulation import report
from loadtest.simulation.__main__ import Rows
from loadtest.simulation.loads import LOADS, Load, bursts, draw
from loadtest.simulation.table import (
    OURS,
    POLICIES,
    RIVALS,
    Cell,
    Figures,
    PolicyName,
    Row,
    compare,
    run_one,
    run_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORT = Load(
    "short",
    bursts(2, 30, every_seconds=120, length_seconds=20, first_at=40),
    30,
    horizon_seconds=240,
)


def cell(p99: Sequence[float], cost: Sequence[float]) -> Cell:
    return Cell(tuple(Figures(p, c, 0, 0, 0) for p, c in zip(p99, cost, strict=True)))


def row(ours: Cell, theirs: Cell) -> Row:
    return Row("a load", {OURS: ours, RIVALS[0]: theirs})


@pytest.mark.parametrize(
    ("ours", "outcome"),
    [
        (cell([4.0, 4.1], [9.0, 9.1]), "wins"),
        (cell([5.0, 5.1], [9.0, 9.1]), "wins"),
        (cell([4.0, 4.1], [10.0, 10.1]), "wins"),
        (cell([5.02, 5.12], [10.0, 10.1]), "ties"),
        (cell([4.0, 4.1], [11.0, 11.1]), "loses"),
        (cell([6.0, 6.1], [9.0, 9.1]), "loses"),
    ],
)
def test_a_win_is_better_in_one_figure_and_worse_in_none(ours: Cell, outcome: str) -> None:
    assert row(ours, cell([5.0, 5.1], [10.0, 10.1])).outcome(RIVALS[0]) == outcome


def test_differences_that_vary_more_than_they_are_large_are_a_tie() -> None:
    noisy = cell([3.0, 9.0, 4.0], [1.0] * 3)
    calm = cell([5.0, 5.0, 5.0], [1.0] * 3)
    assert compare(noisy.runs, calm.runs, "p99_seconds") == 0


def test_one_seed_has_no_noise_but_the_one_percent() -> None:
    assert compare(cell([5.04], [1]).runs, cell([5.0], [1]).runs, "p99_seconds") == 0
    assert compare(cell([5.06], [1]).runs, cell([5.0], [1]).runs, "p99_seconds") == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_finishes_all_and_is_the_same_every_time(policy: PolicyName) -> None:
    trace = draw(SHORT, 1)
    figures = run_one(SHORT, trace, policy, 1)
    assert figures == run_one(SHORT, trace, policy, 1)
    assert figures.p99_seconds > 1.5
    assert figures.kilo_replica_seconds > 0


def test_rows_as_json_have_every_policy_and_verdict() -> None:
    printed = json.loads(report.as_json(run_table([SHORT], [1])))
    assert set(printed["short"]["policies"]) == set(POLICIES)
    assert set(printed["short"]["verdicts"]) == {f"{OURS} vs {rival}" for rival in RIVALS}


def test_rows_as_markdown_say_what_a_tie_is() -> None:
    printed = "\n".join(report.markdown(run_table([SHORT], [1]), seeds=1))
    assert printed.count("| short |") == 2
    assert "A tie:" in printed


def test_a_run_is_lost_when_a_row_is() -> None:
    good, bad = cell([4.0], [9.0]), cell([6.0], [11.0])
    for ours, theirs, is_lost in ((good, bad, False), (bad, good, True)):
        rows = Rows([Row("a load", {OURS: ours, **dict.fromkeys(RIVALS, theirs)})])
        assert len(list(rows)) == 1
        assert rows.is_lost is is_lost


@pytest.mark.slow
@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_our_policy_wins_or_ties_each_row(load: Load) -> None:
    (found,) = run_table([load], [1], (*RIVALS, OURS))
    assert all(found.outcome(rival) != "loses" for rival in RIVALS), found
