"""Gives up what a command asked of a Postgres that has stopped answering.

A migration or a requeue may take as long as it needs, so it has no time-out of its own. But a
server that hangs leaves a command waiting for ever: connections stay open, and nothing comes. So
while the work goes on, the server is asked for a new connection now and then. Whatever it says to
that, it answers; when it has said nothing for `SILENCE_SECONDS`, the work is given up.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from shortlist.domain.errors import ShortlistError
from shortlist.runtime import tasks
from shortlist.storage import postgres
from shortlist.storage.faults import is_answer

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from shortlist.urls import DatabaseUrl

T = TypeVar("T")

SILENCE_SECONDS = 4.0
"""After the server was heard last; a look that is under way then goes on for up to 2 s. Ending what
waits takes two rounds of cancelling, each of a second, and ending the loop as many; closing what is
open then another. So a command ends within 12 s after the server began to hang."""

_PERIOD_SECONDS = 1.0
_QUERY_TIMEOUT_SECONDS = 2.0


class SilentServerError(ShortlistError, TimeoutError):
    """Postgres does not answer."""

    def __str__(self) -> str:
        """As a sentence's end."""
        return "it does not answer"


async def unless_silent(url: DatabaseUrl | str, work: Coroutine[Any, Any, T]) -> T:
    """Do some work on a server; raises `SilentServerError` when that says nothing for too long."""
    working = asyncio.create_task(work)
    listening = asyncio.create_task(_listen(url))
    try:
        await asyncio.wait([working, listening], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            listening.result()
            raise SilentServerError
        return working.result()
    except TimeoutError as error:  # of the driver, that has no words
        raise SilentServerError from error
    finally:
        # More than once: what is cancelled waits for its rollback, on a connection that is silent.
        await tasks.end([working, listening])


async def _listen(url: DatabaseUrl | str) -> None:
    """Return when the server has been silent for too long."""
    heard_at = time.monotonic()
    while time.monotonic() - heard_at < SILENCE_SECONDS:
        await asyncio.sleep(_PERIOD_SECONDS)
        asked = time.monotonic()
        if await _answers(url):
            heard_at = asked


async def _answers(url: DatabaseUrl | str) -> bool:
    """Tell whether a new connection is answered; a refusal is an answer, too."""
    try:
        connection = await postgres.connect(
            url,
            application_name="shortlist-silence",
            timeout_seconds=_QUERY_TIMEOUT_SECONDS,
            writes=False,
        )
    except Exception as error:  # `is_answer` decides
        return is_answer(error)
    await postgres.close_quickly(connection)
    return True
