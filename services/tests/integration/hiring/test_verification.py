"""Whether an audit is whole is told from all of it, and what was changed is named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.hiring.audit import canonical
from shortlist.hiring.errors import BusyError, NotFoundError
from shortlist.hiring.reading import Views, verification
from shortlist.hiring.views import Verification
from shortlist.storage.postgres.queries.hiring.reading import heads
from testkit.hiring.living import LivingLine

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection


@pytest.fixture
async def it(db: Connection, monkeypatch: pytest.MonkeyPatch) -> LivingLine:
    """An opening of some hundred events, in parts of 40, with short heads."""
    monkeypatch.setattr(verification, "_PART", 40)
    monkeypatch.setattr(heads, "EVERY", 50)
    monkeypatch.setattr(heads, "LENGTH", 60)
    line = LivingLine(db, 1, "score", seed=4, capacity=20)
    await line.live(120, 0.9)
    await line.live(150, 0.3)
    while await heads.write_next(db, line.memory.id):
        pass
    return line


async def change(db: Connection, statement: str) -> None:
    """As one could who owns the tables."""
    await db.execute("ALTER TABLE opening_events DISABLE TRIGGER append_only")
    assert not (await db.execute(statement)).endswith(" 0")


async def test_a_whole_audit_is_intact(it: LivingLine, views: Views) -> None:
    kinds = {e.type for e in it.memory.events if e.from_status == "INACTIVE"}
    assert "REINSTATED" in kinds, "none was forgotten and came back"
    told = await views.verify(1)
    last = it.memory.events[-1]
    assert told.problem is None
    assert (told.intact, told.events, told.head) == (True, last.sequence, last.digest.hex())
    with pytest.raises(NotFoundError):
        await views.verify(2)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE opening_events SET actor = 'x' WHERE sequence = 100", "event 100: was changed"),
        ("UPDATE opening_events SET held = held + 1 WHERE sequence = 7", "event 7: was changed"),
        ("DELETE FROM opening_events WHERE sequence = 77", "event 77: is missing"),
        ("UPDATE opening_heads SET line[3] = line[4] WHERE sequence = 100", "event 100: has"),
        ("UPDATE opening_heads SET holds = replace(holds, 'p', 'a') WHERE sequence = 150", "150:"),
        (
            (
                "UPDATE placements SET key = key || '\\x01'"
                " WHERE id = (SELECT min(id) FROM placements WHERE status = 'w')"
            ),
            "stands elsewhere in the tables",
        ),
        ("DELETE FROM placements WHERE status = 'a'", "stands elsewhere in the tables"),
        ("UPDATE openings SET capacity = capacity + 1", "other rules in the tables"),
    ],
)
async def test_what_was_changed_is_named(
    it: LivingLine, db: Connection, views: Views, statement: str, problem: str
) -> None:
    assert it.memory.events
    await change(db, statement)
    told = await views.verify(1)
    assert not told.intact
    assert told.problem is not None
    assert problem in told.problem


async def test_one_audit_is_verified_at_a_time(it: LivingLine, views: Views) -> None:
    events = len(it.memory.events)
    first, second = await asyncio.gather(views.verify(1), views.verify(1), return_exceptions=True)
    assert isinstance(first, Verification)
    assert first.events == events
    assert isinstance(second, BusyError)
    assert (await views.verify(1)).intact


async def test_an_exported_log_holds_all_that_is_hashed(it: LivingLine, views: Views) -> None:
    exported = [e async for part in await views.export_events(1) for e in part]
    for row, event in zip(exported, it.memory.events, strict=True):
        told = row.model_dump(mode="json", by_alias=True)
        assert (told["sequence"], told["digest"]) == (event.sequence, event.digest.hex())
        assert told["metadata"] == event.metadata
        assert (told["held"], told["waiting"]) == (event.held, event.waiting)
        assert told["createdAt"].encode() in canonical(event)
        assert (told["actor"]["kind"], told["actor"]["reference"]) == (
            event.actor.kind,
            event.actor.reference,
        )


async def test_lists_are_exported_in_their_order(it: LivingLine, views: Views) -> None:
    roster = [e async for part in await views.export(1, "roster") for e in part]
    waitlist = [e async for part in await views.export(1, "waitlist") for e in part]
    assert {e.application_id for e in roster} == {p.id for p in it.memory.held()}
    assert [e.application_id for e in waitlist] == [p.id for p in it.memory.line()]
    assert [e.queue_position for e in waitlist] == list(range(1, len(waitlist) + 1))
    with pytest.raises(NotFoundError):
        await views.export(2, "roster")
