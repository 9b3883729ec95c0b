"""``python -m loadtest.cluster seed|keda [--write]``."""

from __future__ import annotations

import argparse
import asyncio

from loadtest.cluster import ROOT, keda, seed
from loadtest.document import put

DOCUMENT = ROOT / "docs" / "kubernetes-experiments.md"
EXPERIMENTS = {"seed": seed.run, "keda": keda.run}


def main() -> None:
    """Run one experiment, and print its table."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.cluster", description=__doc__)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--write", action="store_true", help=f"the table, into {DOCUMENT.name}")
    options = parser.parse_args()
    report = asyncio.run(EXPERIMENTS[options.experiment]())
    print(report)
    if options.write:
        put(DOCUMENT, options.experiment, report)


if __name__ == "__main__":
    main()
