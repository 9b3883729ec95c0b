"""Where a test's processes run: its directory, its database, its Redis."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testkit.clients.ledger import Ledger
from testkit.processes.stack import Role, Service, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A directory for logs, and the URLs of a database and a Redis."""

    directory: Path
    database_url: str
    """As its owner: for tests."""
    redis_url: str
    service_url: str = ""
    """As the role of the services; empty: as its owner."""

    def stack(self, **settings: object) -> Stack:
        """Processes in this place; none is started yet."""
        database_url = self.service_url or self.database_url
        return Stack(self.directory, database_url, self.redis_url, **settings)

    def ledger(self, ingest: Service) -> Ledger:
        """A client of an ingest."""
        return Ledger(ingest.url, self.database_url)

    @asynccontextmanager
    async def running(self, *roles: Role, **settings: object) -> AsyncIterator[Running]:
        """Ingest and further processes that are ready, and a ledger that posts to it."""
        async with self.stack(**settings) as stack:
            ingest, *others = await stack.start_all("ingest", *roles)
            async with self.ledger(ingest) as ledger:
                yield Running(stack, ledger, ingest, others)


@dataclass(frozen=True)
class Running:
    """What a test works with."""

    stack: Stack
    ledger: Ledger
    ingest: Service
    others: list[Service]
    """In the order in which their roles were named."""
