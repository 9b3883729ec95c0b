"""Who leads: a lease in Postgres, renewed while it lasts, and everything stops when it does not.

Three things keep a former leader from writing. Its agents are cancelled and their connections cut
as soon as it hears that another replica leads, or hears nothing until its lease has run out
by its own clock. Before each write it looks at that clock, which runs on while a process is
stopped. And each transaction finds out for itself (`queries.leases`), which alone would do.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import structlog

from shortlist.runtime import tasks
from shortlist.runtime.tasks import wait_until_set
from shortlist.storage import postgres
from shortlist.storage.faults import breaks_connection
from shortlist.storage.postgres.queries import leases
from shortlist.storage.postgres.queries.leases import Lease, NotLeadingError
from shortlist.storage.postgres.reopening import ReopeningConnection
from shortlist.storage.trouble import Trouble
from shortlist.telemetry import metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from shortlist.storage.postgres import Connection

T = TypeVar("T")

LEASE_NAME = "maintenance"

LEASE_SECONDS = 3.0
"""A leader that says nothing for so long is replaced. It renews four times meanwhile, so that no
single late answer costs it the lead."""

_STAND_SECONDS = 0.5
"""How often a replica that does not lead asks whether it may."""

_RENEWALS_PER_LEASE = 4
_RECONNECT_SECONDS = 0.2

_ANSWER_SECONDS = 2.0
"""A replica that was not answered for so long hears nothing. With a renewal each 0.75 s (a
lease of 3 s) `hears_postgres` is wrong for 2.75 s at most."""

_SILENCE_SECONDS = 0.5
"""An answer that comes so late was kept back by a Postgres that stopped, or by this process."""

_TIDY_UP_SECONDS = 5.0
"""The agents of a term end, and its gauges are taken back, within a second or two."""

log = structlog.get_logger(__name__)


class Leadership:
    """One term, as long as it lasts."""

    def __init__(self, lease: Lease, valid_until: float) -> None:
        """``valid_until``: by `time.monotonic`, never later than by Postgres's clock."""
        self.lease = lease
        self.valid_until = valid_until

    def check(self) -> None:
        """Raise `NotLeadingError` when the lease has run out by our own clock."""
        if time.monotonic() >= self.valid_until:
            raise NotLeadingError(self.lease.name)


class Candidate:
    """One replica, which leads or waits to lead."""

    def __init__(
        self,
        open_connection: Callable[[], Awaitable[Connection]],
        lease_seconds: float,
        lead: Callable[[Leadership], Coroutine[None, None, None]],
    ) -> None:
        """``lead`` runs while this replica leads; it is cancelled when that ends."""
        self.holder = uuid4()
        self.leadership: Leadership | None = None
        self._last_contact = -math.inf
        """When Postgres last named the leader, by `time.monotonic`."""
        self._heard_since = -math.inf
        """Since when it has told so without a break."""
        self.last_turn = time.monotonic()
        """When the loop last went round; liveness watches it."""
        self._connection = ReopeningConnection(open_connection)
        self._lease_seconds = lease_seconds
        self._lead = lead
        self._standing = Trouble("standing for leader", "postgres")

    async def run(self, stop: asyncio.Event) -> None:
        """Wait to lead, lead, and again, until told to stop."""
        metrics.LEADING.set(0)
        try:
            while not stop.is_set():
                self.last_turn = time.monotonic()
                leadership = await self._stand()
                if leadership is not None:
                    await self._lead_until(stop, leadership)
                await wait_until_set(stop, _STAND_SECONDS)
        finally:
            await self._connection.close()

    @property
    def hears_postgres(self) -> bool:
        """Whether Postgres named the leader just now, as it must, and takes writes."""
        silent_seconds = time.monotonic() - self._last_contact
        return (
            self._connection.is_open and silent_seconds < self._asks_each_seconds + _ANSWER_SECONDS
        )

    @property
    def heard_for_seconds(self) -> float:
        """For how long Postgres has told who leads, on one connection and without a silence."""
        return time.monotonic() - self._heard_since

    @property
    def _asks_each_seconds(self) -> float:
        return max(_STAND_SECONDS, self._lease_seconds / _RENEWALS_PER_LEASE)

    async def _stand(self) -> Leadership | None:
        async def take(connection: Connection) -> Lease | None:
            await postgres.refuse_read_only(connection)
            return await leases.take(connection, LEASE_NAME, self.holder, self._lease_seconds)

        asked = time.monotonic()
        try:
            lease = await self._ask(take, self._lease_seconds)
        except Exception as error:  # it stands again
            self._standing.met(error)
            return None
        self._standing.over()
        return None if lease is None else Leadership(lease, asked + self._lease_seconds)

    async def _lead_until(self, stop: asyncio.Event, leadership: Leadership) -> None:
        log.info("leading", term=leadership.lease.term, holder=str(self.holder))
        metrics.LEADING.set(1)
        self.leadership = leadership
        parts = [
            asyncio.create_task(self._lead(leadership), name="lead"),
            asyncio.create_task(self._keep(leadership), name="keep the lease"),
            asyncio.create_task(stop.wait(), name="stop"),
        ]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.leadership = None
            metrics.LEADING.set(0)
            await tasks.end(parts, again_seconds=_TIDY_UP_SECONDS)
            ends = await asyncio.gather(*parts, return_exceptions=True)
        log.info("not_leading", term=leadership.lease.term)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, NotLeadingError):
                log.error("lead_failed", exc_info=end)
        await self._give_up(leadership.lease)

    async def _keep(self, leadership: Leadership) -> None:
        """Renew in time; returns when another leads, or Postgres is another, or it has run out."""

        async def renew(connection: Connection) -> bool:
            return await leases.renew(connection, leadership.lease)

        trouble = Trouble("renewing the lease", "postgres")
        while True:
            await asyncio.sleep(self._lease_seconds / _RENEWALS_PER_LEASE)
            self.last_turn = asked = time.monotonic()
            try:
                if await self._ask(renew, leadership.valid_until - asked):
                    leadership.valid_until = asked + self._lease_seconds
                    trouble.over()
                else:
                    log.warning("leadership_lost", term=leadership.lease.term)
                    return
            except Exception as error:  # it tries again while the lease lasts
                trouble.met(error)
                if time.monotonic() >= leadership.valid_until:
                    return
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _give_up(self, lease: Lease) -> None:
        async def give_up(connection: Connection) -> None:
            await leases.give_up(connection, lease)

        try:
            await self._ask(give_up, 1.0)
        except Exception as error:  # it runs out by itself
            Trouble("giving the lease up", "postgres").met(error)

    async def _ask(self, operation: Callable[[Connection], Awaitable[T]], seconds: float) -> T:
        """Ask Postgres on the connection that is kept for this; cut it when that takes longer."""
        anew = not self._connection.is_open
        connection = await self._connection.get()
        asking = asyncio.ensure_future(operation(connection))
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait([asking])
        except (asyncio.CancelledError, TimeoutError):
            # Terminated first, or the cancelled operation would wait for its rollback. Cancelled
            # too, as it may have been answered just now and go on without a connection.
            connection.terminate()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            raise
        if (error := asking.exception()) is not None and breaks_connection(error):
            connection.terminate()  # it may be the wrong one by now: only a new one finds that out
        answer = asking.result()
        self._heard(anew=anew)
        return answer

    def _heard(self, *, anew: bool) -> None:
        """Postgres has answered. What a process that just began has not heard is no break."""
        now, before = time.monotonic(), self._last_contact
        silent = now - before > self._asks_each_seconds + _SILENCE_SECONDS
        if math.isfinite(before) and (anew or silent):
            self._heard_since = now
        self._last_contact = now
