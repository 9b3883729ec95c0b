"""The scaling policy against its peers: ``uv run python -m loadtest.simulate [--held-out]``.

Simulated, so that it takes a minute and gives the same figures on any machine; what is simulated
is in ``experiments/cluster.py``, the peers in ``experiments/peers.py``, the loads in
``experiments/loads.py`` and, those that nothing was tuned on, ``experiments/held_out.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from loadtest.experiments.held_out import HELD_OUT
from loadtest.experiments.loads import LOADS
from loadtest.experiments.table import OURS, POLICIES, RIVALS, run_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.experiments.loads import Load
    from loadtest.experiments.table import Cell, Row

FIRST_HELD_OUT_SEED = 1001
"""Held-out loads get seeds of their own, which the constants never met."""

LEGEND = """\
p99 submit-to-scored in s / thousand replica-seconds; mean of {seeds} seeds, 40 minutes each.
A verdict is ours against that rival: to win, both figures must tie or be lower, and one be lower.
A tie: the difference, seed by seed, is within 1 % of the rival's figure, or within two standard
errors of its own mean.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or one JSON object; 1 when a row is lost to a rival."""
    options = _options(arguments)
    chosen = [load for load in _loads(options) if options.load in load.name]
    first = FIRST_HELD_OUT_SEED if options.held_out else 1
    seeds = range(first, first + options.seeds)
    rows = []
    if not options.json:
        print(_line(["load", *POLICIES, *(f"vs {rival}" for rival in RIVALS)]))
        print(_line(["---"] * (1 + len(POLICIES) + len(RIVALS))))
    for row in run_table(chosen, seeds):
        rows.append(row)
        if not options.json:
            print(_line(_texts(row)), flush=True)
    if options.json:
        print(json.dumps({row.load: _summary(row) for row in rows}, indent=2, ensure_ascii=False))
    else:
        print(f"\n{LEGEND.format(seeds=options.seeds)}")
        _print_side_effects(rows)
    return int(any(row.outcome(rival) == "loses" for row in rows for rival in RIVALS))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.simulate", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object, with every run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each load (default: 3)")
    parser.add_argument("--load", default="", metavar="NAME", help="only loads named like this")
    parser.add_argument("--held-out", action="store_true", help="loads that nothing was tuned on")
    parser.add_argument("--all", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _loads(options: argparse.Namespace) -> tuple[Load, ...]:
    return HELD_OUT if options.held_out else LOADS


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _texts(row: Row) -> list[str]:
    cells = [_cell_text(row.cells[policy]) for policy in POLICIES]
    return [row.load, *cells, *(row.outcome(rival) for rival in RIVALS)]


def _cell_text(cell: Cell) -> str:
    return f"{cell.p99_seconds:.2f} / {cell.kilo_replica_seconds:.1f}"


def _print_side_effects(rows: Sequence[Row]) -> None:
    print("Scores interrupted / connections at peak / workers started per run:\n")
    print(_line(["load", *POLICIES]))
    print(_line(["---"] * (1 + len(POLICIES))))
    for row in rows:
        summaries = [row.cells[policy].summary() for policy in POLICIES]
        print(
            _line(
                [
                    row.load,
                    *(
                        f"{s['interrupted']} / {s['peak_connections']} / {s['workers_started']}"
                        for s in summaries
                    ),
                ]
            )
        )


def _summary(row: Row) -> dict[str, Any]:
    return {
        "policies": {policy: cell.summary() for policy, cell in row.cells.items()},
        "verdicts": {f"{OURS} vs {rival}": row.outcome(rival) for rival in RIVALS},
    }


if __name__ == "__main__":
    sys.exit(main())
