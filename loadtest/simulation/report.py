"""Rows of the comparison as Markdown for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from loadtest.simulation.table import OURS, POLICIES, RIVALS
from tools.markdown import head_lines, line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loadtest.simulation.table import Cell, Row

LEGEND = """\
p99 submit-to-scored in s ± its standard deviation over {seeds} seeds / thousand replica-seconds,
in 40 minutes. A verdict is ours against that rival: to win, both figures must tie or be lower, and
one be lower. A tie: the difference, seed by seed, is within 1 % of the rival's figure, or within
two standard errors of its own mean.
"""

SIDE_EFFECTS = "Scores interrupted in all runs / connections at peak / workers started per run:"


def markdown(rows: Iterable[Row], seeds: int) -> Iterator[str]:
    """Return two tables, line by line as rows are ready."""
    shown: list[Row] = []
    yield from head_lines(["load", *POLICIES, *(f"vs {rival}" for rival in RIVALS)])
    for row in rows:
        shown.append(row)
        cells = [_cell_text(row.cells[policy]) for policy in POLICIES]
        yield line([row.load, *cells, *(row.outcome(rival) for rival in RIVALS)])
    yield f"\n{LEGEND.format(seeds=seeds)}\n{SIDE_EFFECTS}\n"
    yield from head_lines(["load", *POLICIES])
    for row in shown:
        yield line([row.load, *(_side_effects_text(row.cells[policy]) for policy in POLICIES)])


def as_json(rows: Iterable[Row]) -> str:
    """Return one object, with every run."""
    loads = {
        row.load: {
            "policies": {policy: cell.summary() for policy, cell in row.cells.items()},
            "verdicts": {f"{OURS} vs {rival}": row.outcome(rival) for rival in RIVALS},
        }
        for row in rows
    }
    return json.dumps(loads, indent=2, ensure_ascii=False)


def _cell_text(cell: Cell) -> str:
    spread = cell.spread("p99_seconds")
    return f"{cell.p99_seconds:.2f} ± {spread:.2f} / {cell.kilo_replica_seconds:.1f}"


def _side_effects_text(cell: Cell) -> str:
    figures = cell.summary()
    return (
        f"{figures['interrupted']} / {figures['peak_connections']} / {figures['workers_started']}"
    )
