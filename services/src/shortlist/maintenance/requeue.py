"""``shortlist requeue``: another chance for applications that have failed."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING
from uuid import UUID

import typer

from shortlist.domain.errors import ShortlistError
from shortlist.domain.line.application import ApplicationId
from shortlist.domain.line.sweep import NOTHING
from shortlist.storage.once import UnusableServerError, with_connection
from shortlist.storage.postgres.queries import applications, requeue
from shortlist.storage.postgres.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.settings import CommonSettings
    from shortlist.storage.postgres import Connection

_BATCH = 1000
_SHOWN = 10


class RequeueRefusedError(ShortlistError):
    """Some of the applications that were named have not failed; nothing was requeued."""


async def run(
    settings: CommonSettings, *, ids: Sequence[str], pipeline: str | None, reason: str | None
) -> int:
    """Requeue the failed applications named, or else all that the filters let through.

    Named ones are requeued all together or not at all. Prints how many; returns the exit code.
    """

    async def work(connection: Connection) -> int:
        if ids:
            return await _requeue_named(connection, _parsed(ids))
        return await _requeue_chosen(connection, pipeline, reason)

    try:
        count = await with_connection(settings.database_url, "requeue", work)
    except (RequeueRefusedError, UnusableServerError) as refusal:
        return _refuse(str(refusal))
    typer.echo(f"Requeued {count} {'application' if count == 1 else 'applications'}.")
    return 0


async def _requeue_named(connection: Connection, ids: Sequence[ApplicationId]) -> int:
    async with connection.transaction():
        requeued = await requeue.requeue(connection, ids, _actor())
        if missing := set(ids) - requeued:
            raise RequeueRefusedError(await _why_not(connection, sorted(missing)))
    return len(requeued)


async def _why_not(connection: Connection, ids: Sequence[ApplicationId]) -> str:
    known = await applications.views(connection, ids)
    shown = ids[:_SHOWN]
    states = [f"{i} is {known[i].status if i in known else 'unknown'}" for i in shown]
    more = f", and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return f"only failed applications can be requeued; nothing was done: {', '.join(states)}{more}."


async def _requeue_chosen(connection: Connection, pipeline: str | None, reason: str | None) -> int:
    """Batch by batch, each whole; by id, so that one which fails again at once comes once."""
    count, after = 0, NOTHING
    while True:
        ids = await requeue.failed(
            connection, pipeline=pipeline, reason_contains=reason, after=after, limit=_BATCH
        )
        if not ids:
            return count
        count += len(await requeue.requeue(connection, ids, _actor()))
        after = ids[-1]


def _parsed(ids: Sequence[str]) -> list[ApplicationId]:
    parsed = set()
    for text in ids:
        try:
            parsed.add(ApplicationId(UUID(text)))
        except ValueError:
            raise RequeueRefusedError(f"{text!r} is no application's id.") from None
    return sorted(parsed)


def _actor() -> str:
    """Return who ran the command, for the audit log."""
    try:
        return clean(f"requeue:{getpass.getuser()}")
    except (OSError, KeyError):  # a container's user without a name
        return "requeue"


def _refuse(sentence: str) -> int:
    typer.echo(f"shortlist: {sentence}", err=True)
    return 1
