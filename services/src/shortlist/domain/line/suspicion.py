"""Which application kills its workers: found by isolation, and never guessed.

A worker that vanishes leaves behind what it held, in company. One of these may have killed it;
the others are innocent, and cost nothing but another attempt. What was left behind twice is a
suspect: it is scored in a process of its own (`worker.isolation`), beside whatever else its worker
does. When that process alone dies, the payload did it, and twice is enough.

When its worker dies with it, that was the world outside: a node that is lost, a ``kill -9``, a
release. Or the payload has ended its worker in a way that we do not know. So what died a third time
is scored by a worker that holds nothing else until it has ended. When that one vanishes too, it was
this application, or the world outside. So that the world outside convicts nothing, what died alone
is given again only to a worker that has proved that workers live: it has lived through two thirds
of the time since the suspect was last claimed. While all workers are killed again and again, none
has, and no suspect is tried twice. Nor is one convicted early while nothing else is scored. Nothing
here reads a clock; all times come from Postgres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist.domain.line.application import ApplicationId

SUSPECT_AFTER = 2
"""Abandoned so often, it is scored in a process of its own. Once is a lost node; twice in a row is
a hint."""

CONVICTED_AFTER_CRASHES = 2
"""Scoring processes that it ended while their workers lived, after which it fails. What the kernel
or a person ends from outside, and only once, convicts nothing."""

ALONE_AFTER = 3
"""Abandoned so often, though it had a process of its own, it is scored alone as well."""

CONVICTED_AFTER = 4
"""Abandoned so often in all, it fails, when others were scored meanwhile. Where one score in sixty
loses its worker (a node that lives an hour, scores of a minute), an innocent one fails in one of 13
million; with three, of 216 000."""

CONVICTED_AFTER_ALONE = 2
"""And at least so often alone: what died in company is never called poisonous."""

CONVICTED_WITHOUT_OTHERS_AFTER = 25
"""The same when nothing else was scored meanwhile: then it may be the world that kills workers.
What ends only its own process is convicted by that, whether others are scored or not."""

PROOF_SHARE = 2 / 3
"""Of the time since the last claim, how much a worker must have lived through. Where all workers
live for the same time, as under regular kills, what was claimed in the first half of one's life is
not claimed in the next one's: that would take twice the rest of the first, and of the start."""

LONGEST_PROOF_SECONDS = 15.0
"""A worker that has lived so long has proved enough, however long ago the last claim was."""

POSTPONED_SECONDS = 1.0
"""How long, about, until a suspect that could not be taken is offered again."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """An application that must be scored apart, and what its would-be claimer needs to know."""

    application_id: ApplicationId
    abandoned: int
    """How often it was abandoned."""
    alone: int
    """How often it was abandoned alone."""
    since_claim_seconds: float
    """Since it was last claimed."""
    worker_age_seconds: float
    """How long the worker that asks has been enrolled."""


def is_suspect(abandoned: int) -> bool:
    """Tell whether it must be scored in a process of its own, abandoned so often."""
    return abandoned >= SUSPECT_AFTER


def must_be_alone(suspect: Suspect) -> bool:
    """Tell whether a process of its own was not enough: its worker must hold nothing else."""
    return suspect.abandoned >= ALONE_AFTER


def is_convicted(*, abandoned: int, alone: int, others_end: bool) -> bool:
    """Tell whether it fails.

    Args:
        abandoned: attempts that were left open, in all.
        alone: those of them whose worker held nothing else.
        others_end: another application of the pipeline was scored since the first of them.
    """
    enough = CONVICTED_AFTER if others_end else CONVICTED_WITHOUT_OTHERS_AFTER
    return abandoned >= enough and alone >= CONVICTED_AFTER_ALONE


def is_proved(suspect: Suspect) -> bool:
    """Tell whether the worker that asks has lived long enough to be given a suspect.

    Not needed by what never was alone: one death alone convicts nothing, and innocent ones must not
    wait behind the poisonous one. A negative age is a clock that was set back: it says nothing, and
    must keep nothing waiting.
    """
    proof_seconds = min(LONGEST_PROOF_SECONDS, PROOF_SHARE * suspect.since_claim_seconds)
    needless = not suspect.alone or suspect.worker_age_seconds < 0
    return needless or suspect.worker_age_seconds >= proof_seconds


def why_convicted(*, abandoned: int, alone: int) -> str:
    """Return the reason that is kept with the failure."""
    return (
        "abandoned: its worker died or let go of it each time it was scored: "
        f"{_times(abandoned - alone)} in company, {_times(alone)} alone"
    )


def why_crashed(how: str, *, crashes: int) -> str:
    """Return what is kept of an attempt whose scoring process died, and with the failure."""
    return f"its scoring process died, {_times(crashes)} by now, while its worker lived: {how}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
