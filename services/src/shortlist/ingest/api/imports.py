"""A file of people who apply: each row is an act of its own, or is looked at in a dry run."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING

from shortlist.domain.email_addresses import email_key
from shortlist.hiring.by import By, Once
from shortlist.ingest.api.errors import known
from shortlist.ingest.api.schemas.rows import ImportedRow, ImportRow
from shortlist.storage.postgres.queries.hiring.reading import imports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.domain.hiring.placement import OpeningId
    from shortlist.hiring.views import Job
    from shortlist.ingest.api.callers import Parts

_AT_ONCE = 100
"""Rows that wait for one commit: others' acts have room beside them."""


async def apply_all(
    here: Parts, opening_id: OpeningId, found: Sequence[ImportRow | str], by: By
) -> list[ImportedRow]:
    """Have each row's person apply, in the order of the file."""
    results: list[ImportedRow] = []
    for start in range(0, len(found), _AT_ONCE):
        part = enumerate(found[start : start + _AT_ONCE], start + 1)
        results += await asyncio.gather(*(_apply(here, opening_id, n, row, by) for n, row in part))
    return results


async def _apply(
    here: Parts, opening_id: OpeningId, number: int, row: ImportRow | str, by: By
) -> ImportedRow:
    if isinstance(row, str):
        return _invalid(number, row)
    try:
        async with here.scoring.place(opening_id, row.payload) as (scoring, keep):
            acting = By(by.actor, _once(by.once, number, row))
            result = await here.acts.apply_publicly(
                row.name, row.email, opening_id, acting, scoring
            )
            keep(result)
    except Exception as error:
        if (refusal := known(error)) is None:
            raise
        return _refused(number, refusal.code, str(refusal))
    return ImportedRow(
        row=number,
        outcome="applied",
        application_id=result.application_id,
        status=result.status,
        queue_position=result.queue_position,
        message=result.message,
    )


def _once(once: Once | None, number: int, row: ImportRow) -> Once | None:
    """Return the key of one row of a file that was sent with a key."""
    if once is None:
        return None
    meaning = once.body_hash + row.model_dump_json().encode()
    return Once(once.key, f"{once.route} {number}", blake2b(meaning, digest_size=16).digest())


async def check_all(here: Parts, job: Job, found: Sequence[ImportRow | str]) -> list[ImportedRow]:
    """Say what would be refused now, and change nothing."""
    keys = [None if isinstance(row, str) else email_key(row.email) for row in found]
    known_keys = {key for key in keys if key is not None}
    live = await here.database.read(lambda c: imports.live(c, job.id, known_keys))
    results = []
    for number, (row, key) in enumerate(zip(found, keys, strict=True), 1):
        if isinstance(row, str):
            results.append(_invalid(number, row))
        elif job.state != "open":
            results.append(_refused(number, "CONFLICT", "This opening takes no applications."))
        elif key in live:
            results.append(_refused(number, "DUPLICATE_SUBMISSION", "They have already applied."))
        else:
            results.append(ImportedRow(row=number, outcome="ready", message="Would apply."))
        if key is not None:
            live.add(key)  # twice in one file is once too often
    return results


def _invalid(number: int, why: str) -> ImportedRow:
    return _refused(number, "VALIDATION_ERROR", why)


def _refused(number: int, code: str, message: str) -> ImportedRow:
    return ImportedRow(row=number, outcome="refused", code=code, message=message)
