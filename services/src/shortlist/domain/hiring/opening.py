"""An opening: the rules that its company sets, with their bounds, and what they say about now."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, assert_never
from zoneinfo import available_timezones

from shortlist.domain.errors import ShortlistError
from shortlist.domain.hiring.deadlines import (
    DAY_MINUTES,
    DAYS,
    AnswerHours,
    clock_of,
    iso,
    minute_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.hiring.ordering import Order

State = Literal["open", "closed", "ended"]
"""``closed``: takes no applications, its line still moves. ``ended``: its line has gone home too;
only who is ACTIVE stays."""

Confirm = Literal["promoted", "everyone"]
"""Who acknowledges: those ``promoted`` from the line, or ``everyone``, a free place's too."""

CAPACITY_MAX = 1_000_000
WINDOW_SECONDS_DEFAULT = 300
WINDOW_SECONDS_MAX = 31_536_000  # 365 days
MISSES_MAX = 2**31 - 1
"""Of Postgres's integer."""

WINDOW_WEEKS_MAX = 520
"""With answer hours a window ends within ten years; more is a mistake in the hours."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a company sets for an opening. Times are aware, in UTC.

    Attributes:
        capacity: places, 1 to 1 000 000.
        ack_window_seconds: how long an offer stands, 1 to 31 536 000.
        fill_from: until then all applicants wait; then the first in line get offers.
        closes_at: from then on the opening is closed.
        max_misses: the miss that ends a placement instead of sending it back to the line.
        answer_hours: when windows run.
    """

    capacity: int
    ack_window_seconds: int = WINDOW_SECONDS_DEFAULT
    order: Order = "fifo"
    confirm: Confirm = "promoted"
    fill_from: dt.datetime | None = None
    closes_at: dt.datetime | None = None
    max_misses: int | None = None
    answer_hours: AnswerHours | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field: its name in the contract, and a sentence."""

    field: str
    message: str


class InvalidRulesError(ShortlistError, ValueError):
    """An opening cannot have these rules (400 in the contract)."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """``problems``: one for each fault, in the order of the fields."""
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems))
        self.problems = problems


def check_rules(rules: Rules) -> None:
    """Raise `InvalidRulesError` unless every bound of the contract is kept."""
    problems = [
        *_outside("capacity", rules.capacity, CAPACITY_MAX),
        *_outside("ackWindowSeconds", rules.ack_window_seconds, WINDOW_SECONDS_MAX),
        *_outside("maxMisses", rules.max_misses, MISSES_MAX),
        *_wrong_times(rules),
        *_wrong_hours(rules),
    ]
    if problems:
        raise InvalidRulesError(tuple(problems))


def _outside(field: str, value: int | None, most: int) -> list[Problem]:
    if value is None or 1 <= value <= most:
        return []
    return [Problem(field, f"must be a whole number from 1 to {most}")]


def _wrong_times(rules: Rules) -> list[Problem]:
    times = (("fillFrom", rules.fill_from), ("closesAt", rules.closes_at))
    found = [
        Problem(field, "needs an offset from UTC")
        for field, time in times
        if time is not None and time.tzinfo is None
    ]
    if not found and rules.fill_from and rules.closes_at and rules.fill_from > rules.closes_at:
        found.append(Problem("fillFrom", "must not be after closesAt"))
    return found


def _wrong_hours(rules: Rules) -> list[Problem]:
    hours = rules.answer_hours
    if hours is None:
        return []
    found = []
    if hours.zone not in available_timezones():
        found.append(Problem("answerHours.zone", "is no time zone of the IANA database"))
    if not hours.days:
        found.append(Problem("answerHours.days", "must name at least one day"))
    if not 0 <= hours.from_minute < hours.to_minute <= DAY_MINUTES:
        found.append(Problem("answerHours.from", "must be earlier in the day than to"))
    if not found and rules.ack_window_seconds > WINDOW_WEEKS_MAX * hours.seconds_in_a_week:
        found.append(Problem("answerHours", "are so few that a window would not end in ten years"))
    return found


def rules_to_json(rules: Rules) -> dict[str, Any]:
    """Return the rules under the contract's names, of JSON's types, as the audit keeps them."""
    hours = rules.answer_hours
    return {
        "capacity": rules.capacity,
        "ackWindowSeconds": rules.ack_window_seconds,
        "order": rules.order,
        "confirm": rules.confirm,
        "fillFrom": rules.fill_from and iso(rules.fill_from),
        "closesAt": rules.closes_at and iso(rules.closes_at),
        "maxMisses": rules.max_misses,
        "answerHours": hours
        and {
            "zone": hours.zone,
            "days": [day for day in DAYS if day in hours.days],
            "from": clock_of(hours.from_minute),
            "to": clock_of(hours.to_minute),
        },
    }


def rules_from_json(document: Mapping[str, Any]) -> Rules:
    """Return the rules that `rules_to_json` wrote."""
    hours = document["answerHours"]
    return Rules(
        capacity=document["capacity"],
        ack_window_seconds=document["ackWindowSeconds"],
        order=document["order"],
        confirm=document["confirm"],
        fill_from=_time(document["fillFrom"]),
        closes_at=_time(document["closesAt"]),
        max_misses=document["maxMisses"],
        answer_hours=None if hours is None else hours_from_json(hours),
    )


def hours_from_json(document: Mapping[str, Any]) -> AnswerHours:
    """Return the answer hours that `rules_to_json` wrote."""
    return AnswerHours(
        document["zone"],
        frozenset(document["days"]),
        minute_of(document["from"]),
        minute_of(document["to"]),
    )


def in_milliseconds(rules: Rules) -> Rules:
    """Return rules whose times are in full milliseconds, as the audit keeps them."""
    return replace(
        rules, fill_from=_milliseconds(rules.fill_from), closes_at=_milliseconds(rules.closes_at)
    )


def _milliseconds(time: dt.datetime | None) -> dt.datetime | None:
    return time and time.replace(microsecond=time.microsecond // 1000 * 1000)


def _time(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)


def takes_applications(state: State, rules: Rules, now: dt.datetime) -> bool:
    """Tell whether an opening takes applications at a time."""
    match state:
        case "open":
            return rules.closes_at is None or now < rules.closes_at
        case "closed" | "ended":
            return False
        case _:
            assert_never(state)


def fills(state: State, rules: Rules, now: dt.datetime) -> bool:
    """Tell whether free places are filled at a time: not before ``fillFrom``, not once ended."""
    return state != "ended" and (rules.fill_from is None or now >= rules.fill_from)
