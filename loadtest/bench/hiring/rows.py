"""Copies a `History` to Postgres: the rows that our own acts would have written, and its fences.

A test lets the checker of "What must hold" look at a small one.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from loadtest.bench.hiring.history import History
from shortlist.domain.hiring.opening import rules_to_json
from shortlist.storage.postgres.queries.hiring import codec
from shortlist.storage.postgres.queries.hiring.line import may_need_fences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import asyncpg

    from shortlist.domain.hiring.draft import Change
    from shortlist.domain.hiring.opening import Rules
    from shortlist.domain.hiring.placement import OpeningId, Placement, PlacementId

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

_BUCKET = 256
_FENCES_SHARE = 0.64
"""Of the number of fences: so many events lie between two rows of them (decision 0043)."""

_ROWS = 20_000
"""Events that are copied at once."""

_EVENTS = (
    "opening_id", "sequence", "at", "type", "actor_kind", "actor", "placement_id", "from_status",
    "to_status", "metadata", "held", "waiting", "digest", "floors", "leaves", "joins",
)  # fmt: skip
_SPANS = (
    "opening_id", "placement_id", "status", "key", "since", "from_sequence", "to_sequence",
)  # fmt: skip
_FENCES = ("opening_id", "sequence", "keys", "below", "waiting")
_PLACEMENTS = (
    "id", "opening_id", "applicant_id", "status", "key", "applied_sequence", "applied_at", "since",
    "last_event", "last_sequence", "stands_from", "misses", "score", "moved", "promoted_at",
    "deadline",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """An opening as it was made.

    Attributes:
        waiting: placements in line, the first one first.
        holders: those with a place, in the order in which they got it.
        applied: applicants with the ids 1, 2, 3 … have applied.
        events: the newest event's sequence.
        began: the first event's time.
        ended: the newest event's.
    """

    opening_id: OpeningId
    waiting: Sequence[PlacementId]
    holders: Sequence[PlacementId]
    applied: int
    events: int
    began: dt.datetime
    ended: dt.datetime


async def add_applicants(connection: Connection, count: int) -> None:
    """Make so many applicants, whose ids are 1, 2, 3 … in an empty database."""
    await connection.execute(
        "INSERT INTO applicants (name, email, email_key)"
        " SELECT 'Ada ' || n, 'ada' || n || '@example.org', 'ada' || n || '@example.org'"
        " FROM generate_series(1, $1::integer) n",
        count,
    )


async def make(
    connection: Connection, rules: Rules, *, waiting: int, events: int = 0, scored: bool = False
) -> Made:
    """Make an opening whose places are taken and in whose line so many wait.

    Args:
        connection: a plain one, in no transaction.
        rules: before ``fill_from`` no place is taken.
        waiting: applicants in line.
        events: at least so many.
        scored: whether each in line has a score.
    """
    history = History(
        await _insert_opening(connection, rules),
        rules,
        first_placement=await connection.fetchval(
            "SELECT coalesce(max(id), 0) + 1 FROM placements"
        ),
        now=dt.datetime.now(dt.UTC),
    )
    rows = _Rows(connection, history)
    for changes in history.gather(waiting):
        await rows.add(changes)
    for changes in history.pass_by(events):
        await rows.add(changes)
    if scored:
        for changes in history.score(random.Random(1)):
            await rows.add(changes, fenced=False)  # not in order, until all have their scores
        rows.fence(history.tail.sequence)
    await rows.finish()
    return Made(
        history.tail.opening_id, list(history.waiting), list(history.holders), history.applied,
        history.tail.sequence, history.opened.at, history.tail.at,
    )  # fmt: skip


async def _insert_opening(connection: Connection, rules: Rules) -> OpeningId:
    inserted = await connection.fetchval(
        "INSERT INTO openings (title, verify_email, capacity, ack_window_seconds, line_order,"
        " confirm, fill_from, closes_at, max_misses, answer_hours, state, version, due_at,"
        " created_at)"
        " VALUES"
        " ('Compiler engineer', false, $1, $2, $3, $4, $5, $6, $7, $8, 'open', 1, $5, now())"
        " RETURNING id",
        rules.capacity, rules.ack_window_seconds, rules.order, rules.confirm, rules.fill_from,
        rules.closes_at, rules.max_misses, rules_to_json(rules)["answerHours"],
    )  # fmt: skip
    return cast("OpeningId", inserted)


class _Rows:
    """What is still to be copied of one history."""

    def __init__(self, connection: Connection, history: History) -> None:
        self._connection = connection
        self._history = history
        self._keys: dict[PlacementId, tuple[object, bytes]] = {}
        self._stands_from: dict[PlacementId, int] = {}
        self._events: list[list[Any]] = [_opened(history)]
        self._spans: list[list[Any]] = []
        self._fences: list[list[Any]] = []
        self._fenced_at = self._fences_then = 0

    async def add(self, changes: Sequence[Change], *, fenced: bool = True) -> None:
        """Add a group's rows. ``fenced``: the line is in order, so its first is the floor."""
        for change in changes:
            self._add(change)
        last = changes[-1].event.sequence
        if fenced:
            self._events[-1][_EVENTS.index("floors")] = self._line(0, 1) or None
            is_due = last - self._fenced_at >= _FENCES_SHARE * self._fences_then
            if is_due and may_need_fences(last - len(changes), last):
                self.fence(last)
        if len(self._events) >= _ROWS:
            await self._copy()

    def fence(self, sequence: int) -> None:
        """Cut the line as it is now."""
        keys = [b"", *self._line(_BUCKET, _BUCKET)]
        below = [_BUCKET * n for n in range(len(keys))]
        waiting = len(self._history.waiting)
        self._fences.append([self._history.tail.opening_id, sequence, keys, below, waiting])
        self._fenced_at, self._fences_then = sequence, len(keys)

    async def finish(self) -> None:
        """Copy what is left, and the placements as they stand now."""
        await self._copy()
        placements = self._history.placements.values()
        for first in range(0, len(placements), _ROWS):
            some = islice(placements, first, first + _ROWS)
            await self._insert("placements", _PLACEMENTS, [self._placement(one) for one in some])
        await self._connection.execute("SELECT setval('placement_ids', max(id)) FROM placements")

    async def _copy(self) -> None:
        await self._insert("opening_events", _EVENTS, self._events)
        await self._insert("placement_spans", _SPANS, self._spans)
        await self._insert("line_fences", _FENCES, self._fences)
        self._events, self._spans, self._fences = [], [], []

    async def _insert(self, table: str, columns: Sequence[str], rows: Iterable[Any]) -> None:
        await self._connection.copy_records_to_table(table, columns=columns, records=rows)

    def _line(self, first: int, every: int) -> list[bytes]:
        """Keys of the line: the first alone, or each so many-th."""
        history = self._history
        ids = list(history.waiting)[first::every] if first else list(islice(history.waiting, 1))
        return [self._key(history.placements[one]) for one in ids]

    def _add(self, change: Change) -> None:
        event, before, after = change.event, change.before, change.after
        assert after is not None
        self._events.append([
            event.opening_id, event.sequence, event.at, codec.EVENT[event.type],
            codec.ACTOR[event.actor.kind], event.actor.reference, event.placement_id,
            event.from_status and codec.STATUS[event.from_status],
            event.to_status and codec.STATUS[event.to_status], json.dumps(event.metadata),
            event.held, event.waiting, event.digest, None,
            self._key_in_line(before), self._key_in_line(after),
        ])  # fmt: skip
        if before and (before.status, before.key) == (after.status, after.key):
            return
        began = self._stands_from.get(after.id)
        self._stands_from[after.id] = event.sequence
        if before is not None:
            self._spans.append([
                event.opening_id, before.id, codec.STATUS[before.status], self._key(before),
                before.promoted_at or before.since, began, event.sequence,
            ])  # fmt: skip

    def _key_in_line(self, placement: Placement | None) -> bytes | None:
        waits = placement is not None and placement.status == "WAITLIST"
        return self._key(placement) if placement and waits else None

    def _key(self, placement: Placement) -> bytes:
        """Encode a key, once for as long as it stays the same."""
        key, encoded = self._keys.get(placement.id, (None, b""))
        if key is not placement.key:
            encoded = codec.encode_key(placement.key)
            self._keys[placement.id] = placement.key, encoded
        return encoded

    def _placement(self, one: Placement) -> list[Any]:
        return [
            one.id, self._history.tail.opening_id, one.applicant_id, codec.STATUS[one.status],
            self._key(one), one.applied_sequence, one.applied_at, one.since,
            codec.EVENT[one.last_event], one.last_sequence, self._stands_from[one.id], one.misses,
            one.score, one.moved, one.promoted_at, one.deadline,
        ]  # fmt: skip


def _opened(history: History) -> list[Any]:
    event = history.opened
    return [
        event.opening_id, event.sequence, event.at, codec.EVENT[event.type],
        codec.ACTOR[event.actor.kind], event.actor.reference, None, None, None,
        json.dumps(event.metadata), event.held, event.waiting, event.digest, None, None, None,
    ]  # fmt: skip
