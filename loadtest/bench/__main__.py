"""``uv run --group peers python -m loadtest.bench [NAME…] [--quick] [--json] [--write-docs]``."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from loadtest.bench import machine, report
from loadtest.bench.bench import Bench
from loadtest.bench.catalog import EXPERIMENTS, GROUPS
from loadtest.bench.peers import PEERS

_NAMES = ", ".join([*GROUPS, *EXPERIMENTS])

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"All, or some of: {_NAMES}.")] = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Short rounds, main experiments.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    write_docs: Annotated[
        bool, typer.Option("--write-docs", help="Renew docs/performance.md.")
    ] = False,
) -> None:
    """Measure Shortlist beside its rivals, on real servers that are started on this machine.

    All of it takes an hour, --quick about ten minutes; a machine that does other things gives
    other figures. Ends with 1 when an experiment failed.
    """
    asked = [one for name in names or () for one in GROUPS.get(name, (name,))]
    if unknown := set(asked) - set(EXPERIMENTS):
        sys.exit(f"no such experiment: {', '.join(sorted(unknown))}. There are: {_NAMES}")
    _require_peers()
    chosen = asked or [name for name, one in EXPERIMENTS.items() if one.is_quick or not quick]
    figures, failed = asyncio.run(
        _measure(chosen, quick=quick, show=not as_json, write_docs=write_docs)
    )
    if as_json:
        print(json.dumps(figures, ensure_ascii=False, indent=1))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


async def _measure(
    names: list[str], *, quick: bool, show: bool, write_docs: bool
) -> tuple[dict[str, object], list[str]]:
    """Figures by name, and the experiments that failed: one failure shall not cost the others."""
    directory = Path(tempfile.mkdtemp(prefix="shortlist-bench-"))
    bench = Bench(directory, quick=quick)
    bench.say(f"logs of all processes: {directory}")
    figures: dict[str, object] = {}
    failed: list[str] = []
    async with bench.running():
        for name in names:
            before = machine.describe()
            began = time.monotonic()
            try:
                found = await EXPERIMENTS[name].run(bench)
            except Exception:  # told at the end
                traceback.print_exc()
                failed.append(name)
                continue
            bench.say(f"{name} took {time.monotonic() - began:.0f} s")
            record = report.as_record(name, found, before, quick=quick)
            figures |= record["figures"]
            if show:
                report.print_table(record)
            if write_docs:
                report.write_document({name: record})
    if not failed:
        shutil.rmtree(directory)
    return figures, failed


def _require_peers() -> None:
    missing = [peer.title for peer in PEERS.values() if find_spec(peer.distribution) is None]
    if missing:
        sys.exit(
            f"not installed: {', '.join(missing)}. The peers are an optional group:\n"
            "  uv run --group peers python -m loadtest.bench"
        )


if __name__ == "__main__":
    app()
