"""A burst as a table, a file and a sentence."""

from __future__ import annotations

import csv
import os
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from loadtest.burst.load import LOAD
from loadtest.burst.sample import Sample
from tools.markdown import table as markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.burst.sample import Outcome

_PRINTED_EVERY = 5


def table(samples: Sequence[Sample]) -> str:
    """Markdown, every fifth sample."""
    rows = [asdict(sample).values() for sample in samples[::_PRINTED_EVERY]]
    cells = [["–" if value is None else f"{value:g}" for value in row] for row in rows]
    return markdown_table([field.name for field in fields(Sample)], cells)


def summary(samples: Sequence[Sample], outcome: Outcome, load_before: float) -> str:
    """Describe what came of it, in words."""
    busiest = max(samples, key=lambda sample: sample.ready)
    answers = ", ".join(f"{count} answered {status}" for status, count in outcome.answers.items())
    return (
        f"{LOAD.name}, on {os.cpu_count()} cores whose load was {load_before:.1f} before: "
        f"{answers}; {outcome.scored} scored in {outcome.attempts} attempts, p99 "
        f"{outcome.p99_seconds:.2f} s; up to {busiest.ready} workers, and at most "
        f"{max(sample.connections_open for sample in samples)} connections of "
        f"{busiest.connections_budget}."
    )


def write_csv(path: Path, samples: Sequence[Sample]) -> None:
    """Write every sample, with a head."""
    with path.open("w", encoding="utf-8", newline="") as output:
        writer = csv.DictWriter(output, [f.name for f in fields(Sample)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(sample) for sample in samples)
