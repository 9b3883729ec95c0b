"""``uv run python -m loadtest.cluster seed|keda [--write]``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from loadtest.cluster import keda, seed
from testkit.repository import ROOT
from tools.markdown import put

if TYPE_CHECKING:
    from collections.abc import Coroutine

DOCUMENT = ROOT / "docs" / "kubernetes-experiments.md"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run an experiment on the cluster that KUBECONFIG names, in a namespace of its own.",
)
Write = Annotated[bool, typer.Option("--write", help=f"Put the table into {DOCUMENT.name}.")]


@app.command("seed")
def run_seed(*, write: Write = False) -> None:
    """Give four workers too few connections, then start the operator, which corrects it.

    Takes five minutes on an idle cluster.
    """
    _show("seed", seed.run(), write=write)


@app.command("keda")
def run_keda(*, write: Write = False) -> None:
    """Size the same workers on the same arrivals by KEDA and by the operator, in turns.

    KEDA 2 must run in the cluster. Two loads of four minutes for each of three scalers: half an
    hour on an idle cluster.
    """
    _show("keda", keda.run(), write=write)


def _show(name: str, experiment: Coroutine[None, None, str], *, write: bool) -> None:
    report = asyncio.run(experiment)
    print(report)
    if write:
        put(DOCUMENT, name, report)


if __name__ == "__main__":
    app()
