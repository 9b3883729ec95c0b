"""What the tests of hiring's reads share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.hiring.reading import Views
from shortlist.storage.postgres.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def views(database_url: str) -> AsyncIterator[Views]:
    """Hiring's reads on two connections of their own."""
    database = Database(database_url, name="test views", connections=2, timeout_seconds=10)
    yield Views(database)
    await database.close()
