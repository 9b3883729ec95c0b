"""Whatever is sent: an answer that blames the sender, a process that lives, and nothing changed.

What was sent and what came back is docs/bad-input.md. To write it anew:
``WRITE_DOCS=1 uv run pytest -n 0 services/tests/integration/ingest/test_bad_input.py``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from testkit.clients.bad_input import APPLICATIONS, CASES, Bad, Reply, request, send
from testkit.clients.contract import flaw
from testkit.processes.place import Place
from testkit.processes.stack import status_of
from testkit.repository import ROOT
from tools.markdown import replaced, table

if TYPE_CHECKING:
    from pathlib import Path

    from shortlist.storage.postgres import Connection

PAGE = ROOT / "docs" / "bad-input.md"
BODY_TIMEOUT_SECONDS = 1.0
TABLES = ("applications", "idempotency_keys", "scoped_idempotency_keys", "attempts", "results")


@pytest.fixture
def place(tmp_path: Path, database_url: str, redis_url: str) -> Place:
    return Place(tmp_path, database_url, redis_url)


async def counts(db: Connection) -> list[int]:
    return [await db.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES]


def shown(bad: Bad, reply: Reply) -> tuple[str, ...]:
    to = f"`{bad.to}`" if bad.to else ""
    if not reply.status:
        return to, bad.what, "closed", ""
    return to, bad.what, str(reply.status), f"`{reply.code}`" if reply.code else ""


async def test_bad_input_is_refused_and_changes_nothing(place: Place, db: Connection) -> None:
    before = await counts(db)
    async with place.running(body_timeout_seconds=BODY_TIMEOUT_SECONDS) as run:
        port = run.ingest.port
        replies = []
        for bad in CASES:
            reply = await send(port, bad.raw, method=bad.to.partition(" ")[0])
            refused = 400 <= reply.status < 500 or not (reply.status or bad.raw)
            assert refused, (bad.to, bad.what, reply)
            assert reply.code or not reply.body, (bad.to, bad.what, reply)
            wrong = flaw(reply.status, reply.headers, reply.body) if reply.body else None
            assert wrong is None, (bad.to, bad.what, wrong)
            assert await status_of(f"{run.ingest.url}/healthz") == 200, (bad.to, bad.what)
            replies.append(reply)
        assert await counts(db) == before
        assert not run.ingest.deaths
        assert "internal_error" not in run.ingest.log
        assert (await run.ledger.post()).status == 202
    rows = [shown(bad, reply) for bad, reply in zip(CASES, replies, strict=True)]
    made = table(["sent to", "what was sent", "status", "code"], rows)
    page = replaced(PAGE.read_text(encoding="utf-8"), "table", made)
    if "WRITE_DOCS" in os.environ:
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page


async def refused_above_the_limit(place: Place, **settings: object) -> None:
    async with place.running(body_limit_bytes=1_000, **settings) as run:
        body = b'{"candidate": "Ada", "payload": "%b"}'
        for size, status in ((900, 202), (1_001, 413)):
            raw = request(APPLICATIONS, body % (b"p" * (size - len(body) + 2)))
            reply = await send(run.ingest.port, raw)
            assert reply.status == status, f"{size} bytes: {reply.status}"


async def test_a_body_over_the_limit_gets_413(place: Place) -> None:
    await refused_above_the_limit(place)


async def test_off_switch_without_the_body_limit_a_large_body_is_taken(place: Place) -> None:
    with pytest.raises(AssertionError, match="1001 bytes: 202"):
        await refused_above_the_limit(place, unguarded="body_limit")
