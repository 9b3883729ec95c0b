"""Shortlist as a whole while faults happen to it, and what was noted of them."""

from __future__ import annotations

import json
import random
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from testkit.clients.ledger import Ledger
from testkit.databases.urls import SERVICE, as_user
from testkit.faults.chaos.site import site_in
from testkit.processes.faketime import Clock
from testkit.processes.messages_api import MessagesApi
from testkit.processes.stack import Stack

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from testkit.faults.chaos.site import Site
    from testkit.processes.stack import Role, Service

T = TypeVar("T")

SCORE_SECONDS = 0.4
SCORE_TIMEOUT_SECONDS = 10.0
COMMIT_TIMEOUT_SECONDS = 1.5
"""The default; other tests have a longer one."""
CONCURRENCY = 5
WORKERS = 3
FEWEST_WORKERS, MOST_WORKERS = 2, 5
APPLICATIONS_PER_SECOND = 12.0
"""Two workers score 25 a second."""

CLOCKS = ("postgres", "redis", "ingest", "maintenance", "worker", "dashboard")
SERVICES: tuple[Role, ...] = ("ingest", "maintenance", "maintenance", "dashboard")

_WORKERS_PATCHES = "waits_are_short,hangs_in_10_s,deadly_to_claude"
"""No guard is off: a minute's wait is seconds, and some payloads are poison."""


@dataclass
class Chaos:
    """What a fault may break, and what it must note of what it does."""

    mode: str
    site: Site
    stack: Stack
    ledger: Ledger
    api: MessagesApi
    patches: str = _WORKERS_PATCHES
    """Of workers (`testkit.unguarded.guards`)."""
    chance: random.Random = field(default_factory=random.Random)
    """Of the fault that happens now."""
    kills: Counter[str] = field(default_factory=Counter)
    """Of processes, by name."""
    frozen: Counter[str] = field(default_factory=Counter)
    """Of workers, by their ids."""
    answered_errors: int = 0
    """Attempts that the model's own errors may have ended."""
    meanwhile: list[asyncio.Task[None]] = field(default_factory=list)
    """What goes on while the next faults happen, and ends by itself."""
    answered_crowds: Counter[int] = field(default_factory=Counter)
    """Statuses that hostile clients got, each counted once for a crowd."""

    @property
    def clocks(self) -> dict[str, Clock]:
        """By whose they are."""
        return self.site.clocks

    @property
    def ingest(self) -> Service:
        """The front door."""
        return next(s for s in self.stack.services if s.role == "ingest")

    def those(self, role: Role) -> list[Service]:
        """The processes of a role that are wanted."""
        return [s for s in self.stack.services if s.role == role and s.wanted]

    def one(self, role: Role) -> Service:
        """Draw a process of a role."""
        return self.draw(self.those(role))

    def draw(self, things: Sequence[T]) -> T:
        """Draw one of some, with one number whatever their count."""
        return things[int(self.chance.random() * len(things))]

    def seconds(self, least: float = 0.5, most: float = 3.0) -> float:
        """Draw how long a fault lasts."""
        return self.chance.uniform(least, most)

    def kill(self, process: Service) -> None:
        """Kill a process, and note it."""
        self.kills[process.name] += 1
        process.kill()

    def behave(self) -> None:
        """Have the model score again."""
        self.api.behave("score", service_seconds=SCORE_SECONDS)

    async def start(self, role: Role, **settings: object) -> Service:
        """Start a process that lives by the clock of its role."""
        more: dict[str, str] = dict(self.clocks[role].variables)
        if role == "worker":
            more |= {"ANTHROPIC_API_KEY": "sk-local", "ANTHROPIC_BASE_URL": self.api.url}
            settings |= {"unguarded": self.patches, "scorer": "claude"}
        return await self.stack.start(role, wait=False, variables=more, **settings)  # type: ignore[arg-type]


def worker_ids(worker: Service) -> list[str]:
    """The ids of a worker and of those that it followed, in this order; from its log."""
    said = (json.loads(line) for line in worker.log.splitlines() if line[:1] + line[-1:] == "{}")
    return [line["worker"] for line in said if line.get("event") == "ready" and "worker" in line]


@asynccontextmanager
async def chaos_in(
    directory: Path,
    mode: str,
    say: Callable[[str], None],
    *,
    everywhere: str = "",
    unguarded: str = "",
) -> AsyncIterator[Chaos]:
    """Start everything, and wait until all is ready.

    ``everywhere``: guards that all processes lack; ``unguarded``: that workers lack
    (`testkit.unguarded.guards`).
    """
    clocks = {name: Clock.right(directory / f"{name}.time") for name in CLOCKS}
    async with site_in(directory, clocks) as site, MessagesApi() as api:
        stack = Stack(
            directory, as_user(site.postgres_proxy.url, SERVICE), site.valkey_proxy.url,
            connection_mode=mode, concurrency=CONCURRENCY, unguarded=everywhere,
            commit_timeout_seconds=COMMIT_TIMEOUT_SECONDS,
            score_timeout_seconds=SCORE_TIMEOUT_SECONDS, retention_days=30,
        )  # fmt: skip
        async with stack:
            chaos = Chaos(mode, site, stack, Ledger("", site.database_url), api)
            chaos.patches = ",".join(filter(None, [_WORKERS_PATCHES, unguarded]))
            chaos.behave()
            for role in (*SERVICES, *["worker"] * WORKERS):
                await chaos.start(role)  # type: ignore[arg-type]
            await stack.ready()
            async with Ledger(chaos.ingest.url, site.database_url) as ledger:
                chaos.ledger = ledger
                say(f"{mode}: {len(stack.services)} processes are ready")
                yield chaos
