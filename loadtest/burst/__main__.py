"""``uv run --group plots python -m loadtest.burst``."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from loadtest.burst.load import LOAD
from loadtest.burst.measure import measure
from loadtest.burst.report import summary, table, write_csv
from testkit.repository import ROOT
from tools.markdown import put

try:
    from loadtest.burst.plot import draw_plot
except ModuleNotFoundError:  # matplotlib is installed only with the group `plots`
    CAN_DRAW = False
else:
    CAN_DRAW = True

DOCS = ROOT / "docs"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[
        Path, typer.Option(help="Directory to write burst.csv and burst.svg into.")
    ] = DOCS,
) -> None:
    """Send a burst to `shortlist up` on this machine, and draw how the policy sizes it.

    Takes four and a half minutes: one until it is calm, three of load, and half a minute around
    them. Prints a table, and writes docs/burst.csv, docs/burst.svg and what
    docs/autoscaling-figures.md says of them. Ends with 1 when an application was refused, lost, or
    scored at a second attempt. On a machine that does other things, those are in the figures too.
    """
    if not CAN_DRAW:
        sys.exit("not installed: matplotlib. uv run --group plots python -m loadtest.burst")
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        samples, outcome = asyncio.run(measure(Path(directory)))
    words = summary(samples, outcome, load_before)
    print(f"{table(samples)}\n\n{words}")
    write_csv(out / "burst.csv", samples)
    draw_plot(samples, LOAD.name, out / "burst.svg")
    if out == DOCS:
        put(DOCS / "autoscaling-figures.md", "burst", words)
    if not outcome.is_good:
        sys.exit(1)


if __name__ == "__main__":
    app()
