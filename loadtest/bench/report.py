"""Figures as tables for people, records for programs, and ``docs/performance.md``."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from loadtest.bench.catalog import EXPERIMENTS
from loadtest.bench.peers import PEERS
from testkit.repository import ROOT
from tools.markdown import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadtest.bench.figure import Figure, Samples

DOCUMENT = ROOT / "docs" / "performance.md"
RECORD = ROOT / "docs" / "performance.json"
"""What the document is made of; a run of some experiments replaces only theirs."""

Record = dict[str, Any]
_OF_A_RUN = {"when", "load before"}
"""Facts that each experiment has beside its command."""

_COLUMNS = ("figure", "unit", "Shortlist", "spread", "target", "met", "rivals")


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    if abs(value) >= 100:  # noqa: PLR2004 (three digits)
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def spread(samples: Samples) -> str:
    """Least to greatest; nothing for a single sample."""
    low, high = samples.spread
    return f"{number(low)}–{number(high)}" if len(samples.values) > 1 else ""


def row(figure: Figure) -> tuple[str, ...]:
    """Format a figure as the cells of its table."""
    met = {True: "yes", False: "NO", None: ""}[figure.is_met]
    title = f"{figure.title} ({figure.note})" if figure.note else figure.title
    return (
        title,
        figure.unit,
        number(figure.ours.median),
        spread(figure.ours),
        str(figure.target or ""),
        met,
        "; ".join(_rivals(figure)),
    )


def _rivals(figure: Figure) -> Iterable[str]:
    for name, samples in figure.rivals.items():
        note = figure.rival_notes.get(name)
        wide = spread(samples)
        remarks = ", ".join(filter(None, (wide, note)))
        yield f"{name} {number(samples.median)}" + (f" ({remarks})" if remarks else "")


def as_record(
    name: str, figures: Sequence[Figure], machine: dict[str, str], *, quick: bool
) -> Record:
    """One experiment's answer, for `RECORD`."""
    return {
        "heading": EXPERIMENTS[name].heading,
        "machine": machine,
        "quick": quick,
        "rows": [row(figure) for figure in figures],
        "figures": {figure.name: figure.as_json() for figure in figures},
    }


def print_table(record: Record) -> None:
    """For a terminal."""
    shown = Table(*_COLUMNS, title=record["heading"], title_justify="left", show_lines=True)
    for cells in record["rows"]:
        shown.add_row(*cells)
    Console(width=200).print(shown)


def markdown(records: dict[str, Record]) -> str:
    """Return the document."""
    shared = _shared_facts([record["machine"] for record in records.values()])
    parts = [_INTRODUCTION, "## Machine and versions\n", *_bullets(shared)]
    parts += [_section(name, records[name], shared) for name in EXPERIMENTS if name in records]
    parts.append(_peer_settings())
    return "\n".join(parts)


def _shared_facts(machines: Sequence[dict[str, str]]) -> dict[str, str]:
    """Pick what is the same of every run: it is written once."""
    first, *others = machines
    return {
        key: value
        for key, value in first.items()
        if key not in _OF_A_RUN and all(other.get(key) == value for other in others)
    }


def _bullets(facts: dict[str, str]) -> list[str]:
    return [*(f"- {key}: {value}" for key, value in facts.items()), ""] if facts else []


def _section(name: str, record: Record, shared: dict[str, str]) -> str:
    size = "a quick run" if record["quick"] else "a full run"
    machine = record["machine"]
    command = f"uv run --group peers python -m loadtest.bench {name}"
    load = f"load average {machine['load before']} before it"
    own = {key: machine[key] for key in machine.keys() - shared.keys() - _OF_A_RUN}
    lines = [
        f"## {record['heading']}\n",
        f"`{command}`, {size}, {machine['when']}, {load}.\n",
        *_bullets(dict(sorted(own.items()))),
        table(_COLUMNS, record["rows"]),
        "",
    ]
    return "\n".join(lines)


def _peer_settings() -> str:
    """From the docstring of each peer's file, which is read and not imported."""
    lines = ["## How the peers were set\n"]
    for peer in PEERS.values():
        source = (Path(__file__).parent / "peers" / f"{peer.module}.py").read_text(encoding="utf-8")
        told = ast.get_docstring(ast.parse(source)) or ""
        lines.append(f"- **{peer.title}**: {' '.join(told.split())}")
    return "\n".join(lines) + "\n"


def write_document(new: dict[str, Record]) -> None:
    """Merge new answers into the record, and make the document of it."""
    records = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    records |= new
    RECORD.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    DOCUMENT.write_text(markdown(records), encoding="utf-8")


_INTRODUCTION = """\
# Performance

Made by `uv run --group peers python -m loadtest.bench --write-docs`; do not edit. Each figure is
the median of at least three rounds in which the subjects took turns, beside its spread (least to
greatest), on real servers with fsync on. Ratios are taken round by round, because a shared machine
is slow for a while and then is not. How each figure is measured: `loadtest/bench/figures/`.
"""
