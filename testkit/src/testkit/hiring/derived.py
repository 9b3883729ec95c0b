"""What storage derives from an opening's events is what they say: links, spans, fences, floors."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from shortlist.domain.hiring.replay import Standing, apply
from shortlist.storage.postgres.queries.hiring.codec import encode_key
from testkit.hiring.tables import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.domain.hiring.audit import Event
    from shortlist.domain.hiring.ordering import LineKey
    from shortlist.domain.hiring.placement import PlacementId
    from testkit.hiring.tables import Fences, Links, OpeningTables


def check(rows: OpeningTables) -> None:
    """Compare with the fold: links at each event, all spans, fences at theirs, the last floors."""
    fences = {one.sequence: one for one in rows.fences}
    assert fences.keys() <= set(range(1, len(rows.events) + 1)), "fences at no event"
    standing, spans = Standing(rows.id), _Spans()
    for event, links in zip(rows.events, rows.links, strict=True):
        before = _key_in_line(standing, event)
        apply(standing, event)
        _links_are_right(event, links, before, _key_in_line(standing, event))
        spans.note(standing, event)
        if event.sequence in fences:
            _fences_are_right(fences[event.sequence], standing)
    _floors_are_right(rows.links[-1], standing)
    missing, others = spans.told() - set(rows.spans), set(rows.spans) - spans.told()
    assert not missing, f"spans: {len(missing)} are missing, {next(iter(missing))}"
    assert not others, f"spans: {len(others)} tell what was not, {next(iter(others))}"


def _key_in_line(standing: Standing, event: Event) -> LineKey | None:
    placement = event.placement_id and standing.placements.get(event.placement_id)
    return placement.key if placement and placement.status == "WAITLIST" else None


def _links_are_right(
    event: Event, links: Links, before: LineKey | None, after: LineKey | None
) -> None:
    unchanged = (None, None) if before == after else (before, after)
    found = (links.leaves, links.joins)
    assert found in {(before, after), unchanged}, f"links: {found} at {event}"


class _Spans:
    """Where each placement stood, from which event on, and until which: told from the events."""

    def __init__(self) -> None:
        self._ended: list[Span] = []
        self._now: dict[PlacementId, Span] = {}

    def note(self, standing: Standing, event: Event) -> None:
        """What an event, which was just applied, has ended and begun."""
        if event.placement_id is None:
            return
        now = standing.placements[event.placement_id]
        last = self._now.get(now.id)
        if last is None or (last.status, last.key) != (now.status, now.key):
            if last is not None:
                self._ended.append(replace(last, end=event.sequence))
            self._now[now.id] = Span(now.id, now.status, now.key, event.sequence, None)

    def told(self) -> set[Span]:
        """All of them; those without an end are where the placements stand now."""
        return {*self._ended, *self._now.values()}


def _line_of(standing: Standing) -> Sequence[LineKey]:
    return [p.key for p in standing.line()]


def _floors_are_right(links: Links, standing: Standing) -> None:
    """One waits at each floor but the last, at most; all others at the last or behind."""
    if links.floors:
        *single, last = links.floors
        assert sorted(links.floors) == list(links.floors), f"floors at {standing.sequence}"
        before = [key for key in _line_of(standing) if key < last and key not in single]
        assert not before, f"floors: {before} stand before {last} at {standing.sequence}"


def _fences_are_right(fences: Fences, standing: Standing) -> None:
    line = [encode_key(key) for key in _line_of(standing)]
    assert fences.waiting == len(line), f"fences at {fences.sequence}"
    counted = [bisect_left(line, key) for key in fences.keys]
    assert list(fences.below) == counted, f"fences at {fences.sequence}"
