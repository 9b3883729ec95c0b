"""The scaling policy against its peers: ``uv run python -m loadtest.simulate [--held-out]``.

Simulated, so that it takes a minute and gives the same figures on any machine; what is simulated
is in ``experiments/cluster.py``, the peers in ``experiments/peers.py``, the loads in
``experiments/loads.py`` and, those that nothing was tuned on, ``experiments/held_out.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.document import put
from loadtest.experiments.held_out import HELD_OUT
from loadtest.experiments.loads import LOADS
from loadtest.experiments.table import OURS, POLICIES, RIVALS, run_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadtest.experiments.loads import Load
    from loadtest.experiments.table import Cell, Row

FIRST_SEED = 1
FIRST_HELD_OUT_SEED = 1001
"""Held-out loads get seeds of their own, which the constants never met."""

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "autoscaling.md"

LEGEND = """\
p99 submit-to-scored in s ± its standard deviation over {seeds} seeds / thousand replica-seconds,
in 40 minutes. A verdict is ours against that rival: to win, both figures must tie or be lower, and
one be lower. A tie: the difference, seed by seed, is within 1 % of the rival's figure, or within
two standard errors of its own mean.
"""

SIDE_EFFECTS = "Scores interrupted in all runs / connections at peak / workers started per run:"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or one JSON object; 1 when a row is lost to a rival."""
    options = _options(arguments)
    if options.write:
        return _write(options.seeds)
    loads: tuple[Load, ...] = HELD_OUT if options.held_out else LOADS
    first = FIRST_HELD_OUT_SEED if options.held_out else FIRST_SEED
    chosen = [load for load in loads if options.load in load.name]
    rows = run_table(chosen, range(first, first + options.seeds))
    return _print_json(rows) if options.json else _print_table(rows, options.seeds)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.simulate", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object, with every run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each load (default: 3)")
    parser.add_argument("--load", default="", metavar="NAME", help="only loads named like this")
    parser.add_argument("--held-out", action="store_true", help="loads that nothing was tuned on")
    parser.add_argument("--write", action="store_true", help=f"both tables, into {DOCUMENT.name}")
    return parser.parse_args(arguments)


def _print_json(rows: Iterable[Row]) -> int:
    rows = list(rows)
    print(json.dumps({row.load: _summary(row) for row in rows}, indent=2, ensure_ascii=False))
    return _lost(rows)


def _print_table(rows: Iterable[Row], seeds: int) -> int:
    shown: list[Row] = []
    for line in _report(rows, shown, seeds):
        print(line, flush=True)
    return _lost(shown)


def _write(seeds: int) -> int:
    """Put both tables into the document, between its marks."""
    lost = 0
    for mark, chosen, first in (
        ("simulated", LOADS, FIRST_SEED),
        ("held out", HELD_OUT, FIRST_HELD_OUT_SEED),
    ):
        shown: list[Row] = []
        rows = run_table(chosen, range(first, first + seeds))
        put(DOCUMENT, mark, "\n".join(_report(rows, shown, seeds)))
        lost |= _lost(shown)
    return lost


def _lost(rows: Iterable[Row]) -> int:
    return int(any(row.outcome(rival) == "loses" for row in rows for rival in RIVALS))


def _report(rows: Iterable[Row], shown: list[Row], seeds: int) -> Iterator[str]:
    """Markdown, line by line as rows are ready; they are added to ``shown``."""
    yield from _head(["load", *POLICIES, *(f"vs {rival}" for rival in RIVALS)])
    for row in rows:
        shown.append(row)
        cells = [_cell_text(row.cells[policy]) for policy in POLICIES]
        yield _line([row.load, *cells, *(row.outcome(rival) for rival in RIVALS)])
    yield f"\n{LEGEND.format(seeds=seeds)}\n{SIDE_EFFECTS}\n"
    yield from _head(["load", *POLICIES])
    for row in shown:
        yield _line([row.load, *(_side_effects_text(row.cells[policy]) for policy in POLICIES)])


def _head(names: list[str]) -> Iterator[str]:
    yield _line(names)
    yield _line(["---"] * len(names))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell_text(cell: Cell) -> str:
    spread = cell.spread("p99_seconds")
    return f"{cell.p99_seconds:.2f} ± {spread:.2f} / {cell.kilo_replica_seconds:.1f}"


def _side_effects_text(cell: Cell) -> str:
    figures = cell.summary()
    return (
        f"{figures['interrupted']} / {figures['peak_connections']} / {figures['workers_started']}"
    )


def _summary(row: Row) -> dict[str, Any]:
    return {
        "policies": {policy: cell.summary() for policy, cell in row.cells.items()},
        "verdicts": {f"{OURS} vs {rival}": row.outcome(rival) for rival in RIVALS},
    }


if __name__ == "__main__":
    sys.exit(main())
