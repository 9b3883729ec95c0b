"""Why: to an applicant, who is ahead and for what reason; to a company, why its line does not move.

Told from what the audit says, in plain sentences without names. Storage counts; what is counted is
asked for by `Ahead`, each number by one look at the line or at an index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never
from zoneinfo import ZoneInfo

from shortlist.domain.hiring.opening import Rules, State, fills

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from shortlist.domain.hiring.audit import Event


@dataclass(frozen=True, slots=True)
class Ahead:
    """Who stands in front of a placement.

    Attributes:
        total: all of them.
        fewer_misses: with a key of fewer misses; 0 in a ``fifo`` line.
        better_score: with as many misses and a better rank; 0 in a ``fifo`` line.
        moved_at: when the company put one in front: a time for each that still stands there.
    """

    total: int
    fewer_misses: int = 0
    better_score: int = 0
    moved_at: tuple[dt.datetime, ...] = ()

    @property
    def applied_earlier(self) -> int:
        """Those who are in front for no other reason."""
        return max(0, self.total - self.fewer_misses - self.better_score - len(self.moved_at))


def why_not_yet(ahead: Ahead, own: Iterable[Event], zone: str = "UTC") -> list[str]:
    """Tell an applicant who waits why it is not their turn.

    Args:
        ahead: who stands in front, each counted under one reason.
        own: the events of their own placement, oldest first.
        zone: in which times are told.
    """
    return [_who_is_ahead(ahead, ZoneInfo(zone)), *(_setbacks(own, ZoneInfo(zone)))]


def _who_is_ahead(ahead: Ahead, zone: ZoneInfo) -> str:
    if not ahead.total:
        return "You are next in line."
    reasons = [
        f"{count} {phrase}"
        for count, phrase in (
            (ahead.fewer_misses, "missed fewer offers"),
            (ahead.better_score, _has("a better score", ahead.better_score)),
            (ahead.applied_earlier, "joined the line earlier"),
        )
        if count
    ]
    days = sorted({_day(time, zone) for time in ahead.moved_at})
    for day in days:
        count = sum(_day(time, zone) == day for time in ahead.moved_at)
        verb = "was" if count == 1 else "were"
        reasons.append(f"{count} {verb} moved up by the company on {_written(day)}")
    return f"{ahead.total} ahead: {', '.join(reasons)}."


def _has(what: str, count: int) -> str:
    return f"{'has' if count == 1 else 'have'} {what}"


def _setbacks(own: Iterable[Event], zone: ZoneInfo) -> Iterable[str]:
    """Yield a sentence for each time that the applicant lost ground by what happened to them."""
    for event in own:
        match event.type:
            case "DECAY_TRIGGERED" if event.to_status == "WAITLIST":
                others = event.waiting - 1
                yield (
                    f"You missed the deadline of an offer: back in line from "
                    f"{_moment(event.at, zone)}, behind {others} other{'' if others == 1 else 's'}."
                )
            case "MOVED":
                yield f"The company moved you in line at {_moment(event.at, zone)}."
            case "PROMOTION_UNDONE":
                yield f"The company took an offer back at {_moment(event.at, zone)}."
            case _:
                pass


def why_the_line_stands(
    state: State,
    rules: Rules,
    *,
    held: int,
    waiting: int,
    offers: Sequence[dt.datetime],
    now: dt.datetime,
) -> list[str]:
    """Tell a company why no applicant is promoted at the moment; nothing when the line moves.

    Args:
        state: the opening's.
        rules: the opening's; times are told in the zone of its answer hours, else in UTC.
        held: ACTIVE and PENDING_ACKNOWLEDGMENT.
        waiting: WAITLIST.
        offers: the deadlines of the pending ones.
        now: aware.
    """
    zone = ZoneInfo(rules.answer_hours.zone if rules.answer_hours else "UTC")
    told = [sentence] if (sentence := _state(state)) else []
    if state != "ended":
        if not waiting:
            told.append("No applicant waits.")
        if rules.fill_from is not None and not fills(state, rules, now):
            told.append(f"Filling starts {_moment(rules.fill_from, zone)}.")
        if held >= rules.capacity:
            told += _full(rules.capacity, held, offers, zone)
    return told


def _state(state: State) -> str | None:
    match state:
        case "open":
            return None
        case "closed":
            return "The opening is closed to new applications; its line still moves."
        case "ended":
            return "The opening has ended."
        case _:
            assert_never(state)


def _full(capacity: int, held: int, offers: Sequence[dt.datetime], zone: ZoneInfo) -> Iterable[str]:
    """Yield why a full opening is full: taken, offered, or lowered under those who are there."""
    if held > capacity:
        yield (
            f"The capacity was lowered to {capacity} while {held} hold places: "
            f"{held - capacity + 1} must leave before the next is promoted."
        )
    else:
        yield f"Full: {held} of {capacity} places are held."
    if offers:
        verb = "is an offer" if len(offers) == 1 else "are offers"
        last = "" if len(set(offers)) == 1 else f", the last until {_moment(max(offers), zone)}"
        yield f"{len(offers)} of them {verb} until {_moment(min(offers), zone)}{last}."


def _day(time: dt.datetime, zone: ZoneInfo) -> dt.date:
    return time.astimezone(zone).date()


def _written(day: dt.date) -> str:
    return f"{day.day} {day:%B %Y}"


def _moment(time: dt.datetime, zone: ZoneInfo) -> str:
    """Return a time for people: day, minute and zone."""
    local = time.astimezone(zone)
    return f"{_written(local.date())}, {local:%H:%M} {local:%Z}"
