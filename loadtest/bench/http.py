"""HTTP subjects: a server that is loaded in turns with another, and what a turn cost it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from loadtest.bench.child import Child, python
from loadtest.bench.load import Load, Report
from testkit.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Turn:
    """One load on one server."""

    report: Report
    server_cpu_seconds: float

    @property
    def cpu_microseconds_per_request(self) -> float:
        """Of the server's process; not of Postgres or Redis."""
        return 1e6 * self.server_cpu_seconds / self.report.all_requests


def send(load: Load) -> Report:
    """Send a load from a process of its own."""
    done = subprocess.run(  # noqa: S603 (our own module)
        python("-m", "loadtest.bench.load", json.dumps(asdict(load))),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the client failed: {done.stderr[-2000:]}")
    return Report(**json.loads(done.stdout))


def turn(server: Child, load: Load, expected: str) -> Turn:
    """One turn; raises if any answer had another status than ``expected``."""
    before = server.cpu_seconds()
    report = send(load)
    if set(report.statuses) != {expected}:
        raise RuntimeError(f"wanted only {expected}, got {report.statuses} from {load}")
    return Turn(report, server.cpu_seconds() - before)


def rates(turns: Sequence[Turn]) -> list[float]:
    """Answers per second of each turn."""
    return [turn.report.rate for turn in turns]


def p99s(turns: Sequence[Turn]) -> list[float]:
    """99th percentile of each turn, in milliseconds."""
    return [turn.report.p99_ms for turn in turns]


def cpus(turns: Sequence[Turn]) -> list[float]:
    """Server CPU of each turn, in microseconds per request."""
    return [turn.cpu_microseconds_per_request for turn in turns]
