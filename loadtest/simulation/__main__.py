"""``uv run python -m loadtest.simulation [--held-out]``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from loadtest.simulation import report
from loadtest.simulation.held_out import HELD_OUT
from loadtest.simulation.loads import LOADS
from loadtest.simulation.table import RIVALS, run_table
from testkit.repository import ROOT
from tools.markdown import put

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from loadtest.simulation.loads import Load
    from loadtest.simulation.table import Row

FIRST_SEED = 1
FIRST_HELD_OUT_SEED = 1001
"""Held-out loads get seeds of their own, which the constants never met."""

DOCUMENT = ROOT / "docs" / "autoscaling-figures.md"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each load.")] = 3,
    load: Annotated[str, typer.Option(metavar="NAME", help="Only loads named like this.")] = "",
    held_out: Annotated[
        bool, typer.Option("--held-out", help="The loads that nothing was tuned on.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with every run.")
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help=f"Put both tables into {DOCUMENT.name}.")
    ] = False,
) -> None:
    """Simulate the scaling policy beside KEDA's and Knative's, on the same arrivals.

    40 simulated minutes of each load; all loads and three seeds take a minute or two on one core,
    and give the same figures on any machine. It needs no server. Ends with 1 when the policy loses
    to a rival on a load.
    """
    if write:
        lost = [_write("simulated", LOADS, FIRST_SEED, seeds)]
        lost += [_write("held out", HELD_OUT, FIRST_HELD_OUT_SEED, seeds)]
        sys.exit(int(any(lost)))
    loads: tuple[Load, ...] = HELD_OUT if held_out else LOADS
    first = FIRST_HELD_OUT_SEED if held_out else FIRST_SEED
    rows = Rows(run_table([one for one in loads if load in one.name], range(first, first + seeds)))
    for text in [report.as_json(rows)] if as_json else report.markdown(rows, seeds):
        print(text, flush=True)
    sys.exit(int(rows.is_lost))


def _write(mark: str, loads: Sequence[Load], first: int, seeds: int) -> bool:
    """Put the tables of these loads between a mark of the document; whether a row was lost."""
    rows = Rows(run_table(loads, range(first, first + seeds)))
    put(DOCUMENT, mark, "\n".join(report.markdown(rows, seeds)))
    return rows.is_lost


class Rows:
    """Rows that are passed on as they are ready, and how they ended."""

    def __init__(self, rows: Iterable[Row]) -> None:
        """Nothing is lost yet."""
        self._rows = rows
        self.is_lost = False

    def __iter__(self) -> Iterator[Row]:
        """Run them."""
        for row in self._rows:
            self.is_lost |= any(row.outcome(rival) == "loses" for rival in RIVALS)
            yield row


if __name__ == "__main__":
    app()
