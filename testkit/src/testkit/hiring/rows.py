"""Writes what `testkit.hiring.memory` decided to Postgres, told from the fold of its audit alone.

So reads are tested beside a writer that is not the product's: rows that the product's own writer
makes are compared with the domain elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.domain.hiring.opening import rules_to_json
from shortlist.domain.hiring.replay import Standing, apply
from shortlist.storage.postgres.queries.hiring import codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shortlist.domain.hiring.audit import Event
    from shortlist.domain.hiring.placement import Placement
    from shortlist.storage.postgres import Connection
    from testkit.hiring.memory import Memory


async def write_opening(db: Connection, memory: Memory) -> None:
    """The opening's row, under the memory's id."""
    rules = memory.opening.rules
    document = rules_to_json(rules)
    await db.execute(
        "INSERT INTO openings (id, title, verify_email, capacity, ack_window_seconds, line_order,"
        " confirm, fill_from, closes_at, max_misses, answer_hours, state, version, created_at)"
        " OVERRIDING SYSTEM VALUE"
        " VALUES ($1, $2, false, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        " ON CONFLICT (id) DO UPDATE SET capacity = $3, fill_from = $7, closes_at = $8,"
        " state = $11, version = $12",
        memory.id, f"Opening {memory.id}", rules.capacity, rules.ack_window_seconds, rules.order,
        rules.confirm, rules.fill_from, rules.closes_at, rules.max_misses, document["answerHours"],
        memory.opening.state, memory.opening.version, memory.events[0].at,
    )  # fmt: skip


class Rows:
    """One opening's rows. `write` goes on where it stopped."""

    def __init__(self, db: Connection, memory: Memory) -> None:
        """``memory``: what is written."""
        self.db = db
        self.memory = memory
        self.standing = Standing(memory.id)
        self.stands_from: dict[int, int] = {}

    async def write(self) -> None:
        """What was decided since the last call."""
        new = self.memory.events[self.standing.sequence :]
        rows: list[list[Any]] = []
        spans: list[list[Any]] = []
        for event in new:
            before = self._placement(event)
            apply(self.standing, event)
            after = self._placement(event)
            rows.append(self._row(event, before, after))
            spans += self._ended(event, before, after)
        await write_opening(self.db, self.memory)
        await self.db.executemany(_EVENT, rows)
        await self.db.executemany(_SPAN, spans)
        changed = {event.placement_id for event in new if event.placement_id is not None}
        await write_placements(
            self.db,
            self.memory.id,
            [(self.standing.placements[i], self.stands_from[i]) for i in sorted(changed)],
        )

    def _placement(self, event: Event) -> Placement | None:
        if event.placement_id is None:
            return None
        return self.standing.placements.get(event.placement_id)

    def _row(self, event: Event, before: Placement | None, after: Placement | None) -> list[Any]:
        line = self.standing.line()[:1]
        return [
            event.opening_id, event.sequence, event.at, codec.EVENT[event.type],
            codec.ACTOR[event.actor.kind], event.actor.reference, event.placement_id,
            event.from_status and codec.STATUS[event.from_status],
            event.to_status and codec.STATUS[event.to_status], event.metadata, event.held,
            event.waiting, event.digest, [codec.encode_key(p.key) for p in line],
            _key_in_line(before), _key_in_line(after),
        ]  # fmt: skip

    def _ended(
        self, event: Event, before: Placement | None, after: Placement | None
    ) -> Iterable[list[Any]]:
        """The standing that an event ends, if it ends one."""
        if after is None or (before and (before.status, before.key) == (after.status, after.key)):
            return
        began = self.stands_from.get(after.id)
        self.stands_from[after.id] = event.sequence
        if before is not None:
            yield [
                event.opening_id, before.id, codec.STATUS[before.status],
                codec.encode_key(before.key), before.promoted_at or before.since, began,
                event.sequence,
            ]  # fmt: skip


def _key_in_line(placement: Placement | None) -> bytes | None:
    waits = placement is not None and placement.status == "WAITLIST"
    return codec.encode_key(placement.key) if placement and waits else None


async def write_placements(
    db: Connection, opening_id: int, placements: Sequence[tuple[Placement, int]]
) -> None:
    """Placements, each with the event since which it stands so; and their applicants."""
    await db.executemany(
        "INSERT INTO applicants (id, name, email, email_key) OVERRIDING SYSTEM VALUE"
        " VALUES ($1, 'Applicant ' || $1::bigint, $1::bigint || '@example.org',"
        " $1::bigint || '@example.org')"
        " ON CONFLICT DO NOTHING",
        sorted({(p.applicant_id,) for p, _ in placements}),
    )
    await db.executemany(
        _PLACEMENT,
        [
            [
                p.id, opening_id, p.applicant_id, codec.STATUS[p.status], codec.encode_key(p.key),
                p.applied_sequence, p.applied_at, p.since, codec.EVENT[p.last_event],
                p.last_sequence, stands_from, p.misses, p.score, p.moved, p.promoted_at, p.deadline,
            ]
            for p, stands_from in placements
        ],
    )  # fmt: skip


_EVENT = (
    "INSERT INTO opening_events (opening_id, sequence, at, type, actor_kind, actor, placement_id,"
    " from_status, to_status, metadata, held, waiting, digest, floors, leaves, joins)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
)
_SPAN = (
    "INSERT INTO placement_spans (opening_id, placement_id, status, key, since, from_sequence,"
    " to_sequence) VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
_PLACEMENT = (
    "INSERT INTO placements (id, opening_id, applicant_id, status, key, applied_sequence,"
    " applied_at, since, last_event, last_sequence, stands_from, misses, score, moved, promoted_at,"
    " deadline)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
    " ON CONFLICT (id) DO UPDATE SET status = excluded.status, key = excluded.key,"
    " since = excluded.since, last_event = excluded.last_event,"
    " last_sequence = excluded.last_sequence, stands_from = excluded.stands_from,"
    " misses = excluded.misses, score = excluded.score, moved = excluded.moved,"
    " promoted_at = excluded.promoted_at, deadline = excluded.deadline"
)
