"""Draws what was seen of a burst: four figures above each other, with one clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from loadtest.burst.sample import Sample

_BLUE, _ORANGE, _GREY, _RED = "#0072b2", "#e69f00", "#999999", "#d55e00"
"""Of Okabe and Ito's palette: colour-blind readers tell them apart too."""


def draw_plot(samples: Sequence[Sample], title: str, path: Path) -> None:
    """Write an SVG whose text is text; the same samples give the same file."""
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "burst"
    figure = Figure(figsize=(9, 9.5), layout="constrained")
    figure.suptitle(f"shortlist up, sized by its policy: {title}")
    load, workers, connections, latency = figure.subplots(4, sharex=True)
    seconds = [sample.second for sample in samples]
    _load(load, seconds, samples)
    _workers(workers, seconds, samples)
    _connections(connections, seconds, samples)
    _latency(latency, seconds, samples)
    for axes in (load, workers, connections, latency):
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, color="#dddddd")
        axes.legend(loc="upper right", frameon=False)
    latency.set_xlabel("time (s)")
    latency.set_xlim(0, max(seconds))
    figure.savefig(path, format="svg", metadata={"Date": None})


def _load(axes: Any, seconds: list[float], samples: Sequence[Sample]) -> None:
    axes.set_ylabel("applications")
    axes.step(seconds, [s.arriving for s in samples], color=_BLUE, label="arriving (per s)")
    axes.plot(seconds, [s.waiting for s in samples], color=_RED, label="waiting")
    axes.plot(seconds, [s.in_flight for s in samples], color=_GREY, label="being scored")


def _workers(axes: Any, seconds: list[float], samples: Sequence[Sample]) -> None:
    axes.set_ylabel("replicas (workers)")
    axes.stackplot(
        seconds,
        [s.ready for s in samples],
        [s.leaving for s in samples],
        [s.starting for s in samples],
        colors=(_BLUE, _GREY, _ORANGE),
        labels=("ready", "draining or ending", "starting"),
        step="post",
    )


def _connections(axes: Any, seconds: list[float], samples: Sequence[Sample]) -> None:
    axes.set_ylabel("Postgres connections")
    budget = [s.connections_budget for s in samples]
    axes.set_ylim(top=1.5 * max(budget))  # the legend has its own room
    axes.plot(seconds, budget, color=_RED, linestyle="--", label="budget")
    granted = [s.connections_granted for s in samples]
    axes.step(seconds, granted, color=_ORANGE, where="post", label="granted")
    axes.step(
        seconds, [s.connections_open for s in samples], color=_BLUE, where="post", label="open"
    )


def _latency(axes: Any, seconds: list[float], samples: Sequence[Sample]) -> None:
    axes.set_ylabel("submit to scored (s)")
    axes.plot(seconds, [_or_gap(s.p99_seconds) for s in samples], color=_BLUE, label="p99 of 5 s")
    axes.plot(seconds, [_or_gap(s.p50_seconds) for s in samples], color=_GREY, label="median")


def _or_gap(value: float | None) -> float:
    return float("nan") if value is None else value
