"""A command's use of Postgres: one connection, one piece of work, and a sentence if it cannot be.

A command may take as long as it needs; when the server falls silent it is given up (`silence`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from shortlist.domain.errors import ShortlistError, message_of
from shortlist.storage import postgres
from shortlist.storage.faults import Fault, fault_of
from shortlist.storage.silence import unless_silent
from shortlist.storage.unavailable import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from shortlist.storage.postgres import Connection
    from shortlist.urls import DatabaseUrl

T = TypeVar("T")


class UnusableServerError(ShortlistError):
    """Postgres cannot be used for what a command wants; the message says why, for people."""


async def unless_unusable(url: DatabaseUrl, work: Coroutine[Any, Any, T]) -> T:
    """Do a command's work; raises `UnusableServerError` when Postgres keeps it from being done.

    Errors of ours, and bugs, are raised as they are.
    """
    try:
        return await unless_silent(url, work)
    except Exception as error:
        if fault_of(error) is Fault.BUG and not isinstance(error, DatabaseUnavailableError):
            raise  # ours among them
        raise UnusableServerError(
            f"Postgres at DATABASE_URL cannot be used: {message_of(error)}"
        ) from error


async def with_connection(
    url: DatabaseUrl, command: str, work: Callable[[Connection], Awaitable[T]]
) -> T:
    """Do a command's work on a connection of its own; raises as `unless_unusable` does."""
    return await unless_unusable(url, _connected(url, command, work))


async def _connected(
    url: DatabaseUrl, command: str, work: Callable[[Connection], Awaitable[T]]
) -> T:
    connection = await postgres.connect(url, application_name=f"shortlist-{command}")
    try:
        return await work(connection)
    finally:
        await postgres.close_quickly(connection)
