"""Runs every policy over every load and seed, and compares: means, verdicts, and what noise is."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from loadtest.simulation import loads
from loadtest.simulation.cluster import TICK_SECONDS, Cluster
from loadtest.simulation.ours import Shortlist, pipeline_for
from loadtest.simulation.peers import (
    HPA_SYNC_SECONDS,
    KEDA_DEFAULT,
    KPA_DEFAULT,
    KPA_TICK_SECONDS,
    Keda,
    Kpa,
    tuned_for,
)
from shortlist.domain.percentiles import nearest_rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from loadtest.simulation.cluster import Scaler
    from loadtest.simulation.loads import Load, Setup, Trace

PolicyName = Literal["KEDA default", "KEDA tuned", "Knative KPA", "Shortlist"]
POLICIES: tuple[PolicyName, ...] = ("KEDA default", "KEDA tuned", "Knative KPA", "Shortlist")
OURS: PolicyName = "Shortlist"
RIVALS: tuple[PolicyName, ...] = ("KEDA tuned", "Knative KPA")
"""Whom to beat. KEDA as it comes is shown, but it is not the measure."""

TIE = 0.01
"""Two means closer than 1 % of the rival's are a tie."""

Outcome = Literal["wins", "ties", "loses"]


@dataclass(frozen=True, slots=True)
class Figures:
    """One run."""

    p99_seconds: float
    """Of the time from submission to score, over all applications of the run."""
    kilo_replica_seconds: float
    interrupted: int
    """Scores that a scale-in cut short."""
    peak_connections: int
    started: int
    """Workers started: what sizing more often costs."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy on one load: a run for each seed, in the order of the seeds."""

    runs: tuple[Figures, ...]

    @property
    def p99_seconds(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(run.p99_seconds for run in self.runs)

    @property
    def kilo_replica_seconds(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(run.kilo_replica_seconds for run in self.runs)

    def spread(self, figure: str) -> float:
        """Compute the standard deviation of a figure over the seeds."""
        values = [getattr(run, figure) for run in self.runs]
        return statistics.stdev(values) if len(values) > 1 else 0.0

    def summary(self) -> dict[str, Any]:
        """For programs."""
        return {
            "p99_seconds": round(self.p99_seconds, 3),
            "p99_spread_seconds": round(self.spread("p99_seconds"), 3),
            "kilo_replica_seconds": round(self.kilo_replica_seconds, 3),
            "interrupted": sum(run.interrupted for run in self.runs),
            "peak_connections": max(run.peak_connections for run in self.runs),
            "workers_started": round(statistics.fmean(run.started for run in self.runs)),
            "runs": [asdict(run) for run in self.runs],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One load."""

    load: str
    cells: dict[PolicyName, Cell]

    def outcome(self, rival: PolicyName) -> Outcome:
        """Ours against a rival: to tie or win it must be better in neither figure alone worse.

        A win: p99 and replica-seconds both no worse than a tie, and one of them better.
        """
        ours, theirs = self.cells[OURS], self.cells[rival]
        figures = ("p99_seconds", "kilo_replica_seconds")
        signs = [compare(ours.runs, theirs.runs, figure) for figure in figures]
        if max(signs) > 0:
            return "loses"
        return "wins" if min(signs) < 0 else "ties"


def compare(ours: Sequence[Figures], theirs: Sequence[Figures], figure: str) -> int:
    """-1: ours is lower; 1: it is higher; 0: they tie.

    They tie when the mean of the differences, seed by seed, is within 1 % of the rival's mean, or
    within two standard errors of itself (the same applications are run, so luck mostly cancels).
    """
    pairs = [(getattr(a, figure), getattr(b, figure)) for a, b in zip(ours, theirs, strict=True)]
    differences = [a - b for a, b in pairs]
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(pairs)) if len(pairs) > 1 else 0.0
    noise = max(TIE * statistics.fmean(b for _, b in pairs), 2 * error)
    if abs(mean) <= noise:
        return 0
    return 1 if mean > 0 else -1


def run_table(
    chosen: Sequence[Load], seeds: Sequence[int], policies: Sequence[PolicyName] = POLICIES
) -> Iterable[Row]:
    """Rows one by one, as they are ready."""
    for load in chosen:
        runs: dict[PolicyName, list[Figures]] = {policy: [] for policy in policies}
        for seed in seeds:
            trace = loads.draw(load, seed)
            for policy in policies:
                runs[policy].append(run_one(load, trace, policy, seed))
        yield Row(load.name, {policy: Cell(tuple(figures)) for policy, figures in runs.items()})


def run_one(load: Load, trace: Trace, policy: PolicyName, seed: int) -> Figures:
    """One policy on one drawing of a load. The seed also draws start times and tick phases."""
    chance = random.Random(f"{load.name}/{seed}/{policy}")
    cluster = Cluster(trace, load.setup, random.Random(f"{load.name}/{seed}/starts"))
    cluster.run(
        make_scaler(policy, load.setup, chance),
        until_seconds=load.horizon_seconds,
        first_tick_seconds=chance.uniform(0.0, TICK_SECONDS),
    )
    latencies = sorted(cluster.latencies_seconds)
    assert len(latencies) == len(trace.arrivals), "an application was lost"
    return Figures(
        p99_seconds=nearest_rank(latencies, 0.99),
        kilo_replica_seconds=cluster.replica_seconds / 1000,
        interrupted=cluster.interrupted,
        peak_connections=cluster.peak_connections,
        started=cluster.started,
    )


def make_scaler(policy: PolicyName, setup: Setup, chance: random.Random) -> Scaler:
    """Make a fresh scaler; its own periods begin at a random moment."""
    if policy == "Shortlist":
        return Shortlist(pipeline_for(setup))
    if policy == "Knative KPA":
        return Kpa(KPA_DEFAULT, setup.max_replicas, phase=chance.uniform(0, KPA_TICK_SECONDS))
    settings = KEDA_DEFAULT if policy == "KEDA default" else tuned_for(setup)
    return Keda(
        settings,
        setup.max_replicas,
        poll_phase=chance.uniform(0, settings.polling_seconds),
        sync_phase=chance.uniform(0, HPA_SYNC_SECONDS),
    )
