"""Two who act on one opening at once, each on connections of their own, in an order that is known.

The first has read all that it needs and is held before its first write, by a trigger that waits for
a lock of the test's. Then the second begins, and does all that it can: it ends, or waits for a lock
of the first's. Then both go on. So a guard that is off fails each time, and not now and then.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from shortlist.hiring.errors import ConflictError, GoneError
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from shortlist.storage.postgres import Connection

FIRST, SECOND = "first", "second"
"""How the application names of their connections begin."""

_HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF starts_with(current_setting('application_name'), 'first') THEN
        PERFORM pg_advisory_xact_lock_shared(4711);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER hold BEFORE INSERT ON opening_events FOR EACH STATEMENT EXECUTE FUNCTION hold();
CREATE TRIGGER hold BEFORE INSERT OR UPDATE ON placements
    FOR EACH STATEMENT EXECUTE FUNCTION hold();
"""
_HELD = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND starts_with(application_name, $1)
  AND wait_event_type = 'Lock' AND ($2 = '' OR wait_event = $2)
"""


class Race:
    """Has two act at once, in one database."""

    def __init__(self, connection: Connection) -> None:
        """``connection``: of the test's own."""
        self._connection = connection

    @classmethod
    async def prepare(cls, connection: Connection) -> Race:
        """Install what holds the first."""
        await connection.execute(_HOLD)
        return cls(connection)

    async def run(
        self, first: Coroutine[Any, Any, Any], second: Coroutine[Any, Any, Any]
    ) -> tuple[Any, Any, bool]:
        """Return the two answers, a refusal as its code; and whether the second waited."""
        async with self.held(first) as held:
            other = await self.begun(second)
            waited = not other.done()
        return await held, await other, waited

    async def begun(self, second: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin the second; returns when it has ended, or waits for what the first has locked."""
        other = asyncio.create_task(answer(second))

        async def ended_or_waits() -> bool:
            return other.done() or await self._waits(SECOND)

        await until(ended_or_waits, what="the second has ended, or waits", poll_seconds=0.01)
        return other

    @asynccontextmanager
    async def held(self, first: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
        """Hold the first before its first write for the length of a block."""
        await self._connection.execute("SELECT pg_advisory_lock(4711)")
        try:
            held = asyncio.create_task(answer(first))

            async def is_held() -> bool:
                assert not held.done(), f"it wrote nothing: {held.result()}"
                return await self._waits(FIRST, "advisory")

            await until(is_held, what="the first is held", poll_seconds=0.01)
            yield held
        finally:
            await self._connection.execute("SELECT pg_advisory_unlock(4711)")

    async def end_the_first(self) -> None:
        """End the backend of the first, as a failure of its connection would."""
        await self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, $1)",
            FIRST,
        )

    async def _waits(self, who: str, event: str = "") -> bool:
        return bool(await self._connection.fetchval(_HELD, who, event))


async def answer(act: Coroutine[Any, Any, Any]) -> Any:
    """What an act was answered, or the code of its refusal."""
    try:
        return await act
    except ConflictError as error:
        return error.code
    except GoneError:
        return "GONE"
