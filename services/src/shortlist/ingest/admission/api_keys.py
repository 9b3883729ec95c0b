"""Which keys are valid, asked of Postgres once every other second for each that is in use.

What was found is believed for `BELIEVED_SECONDS`, so a key that is revoked is refused within that
time, in every process. Keys that wait to be looked at are looked at together, by one query at a
time: guessing them costs Postgres no more than one query, however many clients guess.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import structlog

from shortlist.domain.access import digest_of_key, is_key
from shortlist.storage.deadline_batcher import Asked, DeadlineBatcher
from shortlist.storage.postgres.queries.hiring import api_keys
from shortlist.storage.unavailable import DatabaseUnavailableError

if TYPE_CHECKING:
    from shortlist.domain.access import ApiKey
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.database import Database

BELIEVED_SECONDS = 2.0
"""A lookup takes a millisecond: at two in a second for each key they cost nothing."""

_MOST_REMEMBERED = 10_000
"""Valid ones or not: 300 bytes each, 3 MB."""

_USE_WRITTEN_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class _Found(NamedTuple):
    """What Postgres said of a digest, and when (monotonic seconds)."""

    key: ApiKey | None
    at: float


class ApiKeys:
    """Tells which keys are valid, and notes when they were used."""

    def __init__(self, database: Database) -> None:
        """``database``: for reading, and for a row a minute that says that a key was used."""
        self._database = database
        self._lookups = DeadlineBatcher(self._look_up, timeout_seconds=database.timeout_seconds)
        self._found: OrderedDict[bytes, _Found] = OrderedDict()
        self._used: set[int] = set()
        self._noted_at: dict[int, float] = {}
        self._wake = asyncio.Event()

    async def find(self, key: str) -> ApiKey | None:
        """Return what a key may do; None when there is no such key, or it is not valid any more.

        Raises `DatabaseUnavailableError` when Postgres does not say so in time.
        """
        if not is_key(key):
            return None
        digest = digest_of_key(key)
        now = time.monotonic()
        known = self._found.get(digest)
        if known is None or now - known.at >= BELIEVED_SECONDS:
            known = _Found(await self._lookups.submit(digest, now), now)  # true when it was asked
            self._remember(digest, known)
        if known.key is not None:
            self._note(known.key.id, now)
        return known.key

    async def run(self) -> None:
        """Write which keys were used, for ever: each once a minute at most."""
        while True:
            await self._wake.wait()
            await self.write_uses()

    async def write_uses(self) -> None:
        """Write what was noted since the last time; it is lost when Postgres is away."""
        self._wake.clear()
        used, self._used = self._used, set()

        async def write(connection: Connection) -> None:
            await api_keys.note_use(connection, used)

        try:
            await self._database.read(write)
        except DatabaseUnavailableError:
            _log.info("last_use_of_keys_not_written", keys=len(used))

    def _note(self, key_id: int, now: float) -> None:
        if now - self._noted_at.get(key_id, -_USE_WRITTEN_SECONDS) >= _USE_WRITTEN_SECONDS:
            self._noted_at[key_id] = now
            self._used.add(key_id)
            self._wake.set()

    def _remember(self, digest: bytes, found: _Found) -> None:
        self._found.pop(digest, None)
        self._found[digest] = found  # at the end: the oldest answer goes first
        if len(self._found) > _MOST_REMEMBERED:
            self._found.popitem(last=False)

    async def _look_up(self, asked: list[Asked[bytes]], deadline: float) -> list[ApiKey | None]:
        async def read(connection: Connection) -> dict[bytes, ApiKey]:
            return await api_keys.valid(connection, {one.item for one in asked})

        found = await self._database.run(read, deadline)
        return [found.get(one.item) for one in asked]
