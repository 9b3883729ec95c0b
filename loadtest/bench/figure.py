"""A figure: what was measured, what it should be, and what the rivals do. Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Samples:
    """The same quantity, measured once per round; at least one."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Samples:
        """Make samples of any iterable of numbers."""
        return cls(tuple(float(value) for value in values))

    @property
    def median(self) -> float:
        """The value to quote."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest."""
        return min(self.values), max(self.values)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Samples:
    """Ours ÷ theirs, round by round: what slows the machine for a while slows both."""
    return Samples.of(a / b for a, b in zip(ours, theirs, strict=True))


Relation = Literal["at least", "at most", "within", "first", "least"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be.

    ``at least`` and ``at most`` a bound; ``within`` a bound of 1 (a share, for what is to stay
    flat); ``first``: no rival has more; ``least``: no rival has less.
    """

    relation: Relation
    bound: float = 0.0

    def is_met(self, value: float, rivals: Iterable[float]) -> bool:
        """Whether a value meets it, beside those rivals."""
        match self.relation:
            case "at least":
                return value >= self.bound
            case "at most":
                return value <= self.bound
            case "within":
                return abs(value - 1) <= self.bound
            case "first":
                return all(value >= rival for rival in rivals)
            case "least":
                return all(value <= rival for rival in rivals)
            case _:
                assert_never(self.relation)

    def __str__(self) -> str:
        """As a table shows it."""
        match self.relation:
            case "at least":
                return f"≥ {self.bound:g}"
            case "at most":
                return f"≤ {self.bound:g}"
            case "within":
                return f"1 ± {self.bound:g}"
            case "first" | "least":
                return self.relation
            case _:
                assert_never(self.relation)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the answer: ours, beside rivals in the same unit.

    ``rival_notes`` says what a number alone would hide: lost jobs, a wait that was cut short.
    """

    name: str
    title: str
    unit: str
    ours: Samples
    target: Target | None = None
    rivals: Mapping[str, Samples] = field(default_factory=dict)
    note: str = ""
    rival_notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_met(self) -> bool | None:
        """Whether the median meets the target; None without one."""
        if self.target is None:
            return None
        medians = [samples.median for samples in self.rivals.values()]
        return self.target.is_met(self.ours.median, medians)

    def as_json(self) -> dict[str, Any]:
        """``value``, ``target``, ``rivals``, and what helps to judge them."""
        return {
            "value": self.ours.median,
            "target": str(self.target) if self.target else None,
            "rivals": {name: samples.median for name, samples in self.rivals.items()},
            "met": self.is_met,
            "unit": self.unit,
            "title": self.title,
            "samples": list(self.ours.values),
            "rival_samples": {name: list(s.values) for name, s in self.rivals.items()},
            "note": self.note,
            "rival_notes": dict(self.rival_notes),
        }


def rate_between(times: Sequence[float], skip: int, leave: int = 0) -> float:
    """Completions per second, from Unix times, less the first ``skip`` and the last ``leave``.

    Workers that run in lockstep complete in bursts. Counting whole bursts, from the end of one to
    the end of another, has no error from where a window happens to begin.
    """
    ordered = sorted(times)
    last = len(ordered) - leave
    if not 0 < skip < last:
        raise ValueError(f"{len(ordered)} completions are too few to leave out {skip} and {leave}")
    return (last - skip) / (ordered[last - 1] - ordered[skip - 1])
