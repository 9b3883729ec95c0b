"""Connections to Postgres: how they are opened, locked and closed."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from shortlist.storage.faults import Fault, fault_of
from shortlist.storage.postgres import text
from shortlist.storage.postgres.pooled import PooledConnection
from shortlist.storage.postgres.statements import SQL
from shortlist.storage.watch import Sight, Watch, watch_of
from shortlist.urls import DatabaseUrl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from shortlist.urls import Pooler

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

_ALWAYS = {"jit": "off"}
"""Every query here is short; compiling it would cost more."""

_ISOLATION = "read committed"
"""Each statement relies on it, whatever the database's own default is: one takes a lock, and the
next one sees what its former holder wrote."""

_DEATH_IS_NOTICED = {
    # A worker's host that vanishes without a FIN: its claims are free after about 2 s.
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "1",
    "tcp_user_timeout": "2000",
}


async def connect(
    database: DatabaseUrl | str,
    *,
    application_name: str,
    timeout_seconds: float = 2.0,
    settings: Mapping[str, str] | None = None,
    writes: bool = True,
) -> Connection:
    """Open one connection, or raise within ``timeout_seconds`` (`storage.faults` says why).

    ``settings`` hold for the session, or, behind a pooler, for each transaction. Here alone is
    known what a pooler accepts, how a URL becomes a connection, and what is prepared. ``writes``:
    refuse a server that is read-only. The server is watched for as long as the connection is open
    (`storage.watch`): when another one answers at its address, the connection is cut.
    """
    url = database if isinstance(database, DatabaseUrl) else DatabaseUrl(database)
    session = _ALWAYS | dict(settings or {})
    names = {"application_name": application_name[:63], "timezone": "UTC", **url.startup}
    more = {"target_session_attrs": "read-write"} if writes and url.takes_any_server else {}
    watch = None if url.means_what_answers else _watch_of(url)
    changes = 0 if watch is None else watch.changes
    async with asyncio.timeout(timeout_seconds):
        if url.pooler is None:
            isolation = {"default_transaction_isolation": _ISOLATION}
            ours = {**names, **_DEATH_IS_NOTICED, **isolation, **session}
            connection = await _open(url, server_settings=ours, **more)
        else:
            isolation = {"transaction_isolation": _ISOLATION}
            connection = await _open_pooled(url, names, isolation | session, url.pooler)
        try:
            await connection.set_type_codec(
                "jsonb", encoder=text.as_json, decoder=json.loads, schema="pg_catalog"
            )
        except BaseException:
            connection.terminate()
            raise
    if watch is not None:
        if watch.changes != changes:
            connection.terminate()
            raise ConnectionError("another server answers since this connection was begun")
        _watch(connection, url)
    return connection


def _watch_of(url: DatabaseUrl) -> Watch:
    return watch_of(url.get_secret_value(), partial(_observe, url))


def _watch(connection: Connection, url: DatabaseUrl) -> None:
    """Have the connection cut when the server is another one.

    So every process is whole again within 5 s of the new primary's start, where an answer takes a:

        2.0 s + a  until a new connection has met it (`storage.watch`), and all that is open is cut
        1.0 s      at most until the next try: a worker's turn (`worker.control`), the pause after a
                   failure (`storage.trouble`), a look of the operator's or of ``shortlist up``. A
                   leader finds within 0.75 s that its term is over, and stands again after 0.5 s
                   (`maintenance.leader`), with four answers: 3.25 s + 5 a in all
        2 a        to connect and to be known

    With answers of 0.3 s that is 4.75 s at most. Who still tries to connect to the old server when
    the new one starts has given up before that (``timeout_seconds`` of `connect`).
    """
    watch = _watch_of(url)  # the one before may have ended with the last connection
    watch.tend(connection, Connection.terminate)
    connection.add_termination_listener(watch.forget)


async def _observe(url: DatabaseUrl) -> Sight:
    """See which server a new connection meets; it is no worker's, and open for milliseconds."""
    name = {"application_name": "shortlist-watch"}
    if url.pooler is None:
        connection = await _open(url, server_settings=name, statement_cache_size=0)
    else:
        connection = await _open_pooled(url, name, {}, url.pooler)
    try:
        met = await SQL["server.sight"].fetchrow(connection)
        assert met is not None
    finally:
        await close_quickly(connection)
    return Sight(met["started"], writable=met["read_only"] == "off")


async def _open_pooled(
    url: DatabaseUrl, names: dict[str, str], session: dict[str, str], pooler: Pooler
) -> Connection:
    """PgBouncer refuses a client that sends it more settings than these names."""
    connection: PooledConnection = await _open(
        url,
        server_settings=names,
        statement_cache_size=0,
        connection_class=PooledConnection,
    )
    connection.begin_with(session)
    connection.client_connections = pooler.client_connections
    return connection


async def _open(url: DatabaseUrl, **more: Any) -> Any:
    try:
        return await asyncpg.connect(**{**url.arguments(), **more})
    except ValueError as error:
        if fault_of(error) is not Fault.BUG:  # the driver's own
            raise
        # Of the URL all was read before: this is PGPORT or the like.
        raise asyncpg.ClientConfigurationError(f"a PG* variable is not valid: {error}") from None


def pooler_clients(connection: Connection) -> int | None:
    """Return how many clients the pooler of a connection lets in; None when there is no pooler."""
    # Not `isinstance`: asyncpg's classes say yes to any connection.
    clients: int | None = getattr(connection, "client_connections", None)
    return clients


_JUMP_SECONDS = 1.0
"""By which a clock differs from what passed: more than an answer that was slow to come."""


@dataclass(frozen=True, slots=True)
class ServerClock:
    """Postgres's clock as it is known here: never ahead of it, behind by a round trip at most."""

    server: dt.datetime
    monotonic: float

    @classmethod
    async def read(cls, connection: Connection) -> ServerClock:
        """Ask for the time."""
        server = await SQL["server.clock"].fetchval(connection)
        return cls(server, time.monotonic())

    def was_set_since(self, earlier: ServerClock) -> bool:
        """Tell if the server's clock was set, or another server answers, since an earlier look."""
        jump = self.server - earlier.at(self.monotonic)
        return abs(jump.total_seconds()) > _JUMP_SECONDS

    def at(self, monotonic: float) -> dt.datetime:
        """Return what Postgres's clock shows when `time.monotonic` shows this."""
        return self.server + dt.timedelta(seconds=monotonic - self.monotonic)


def advisory_key(an_id: UUID) -> int:
    """Return an id's advisory lock: its low 64 bits, signed, as ``lock_key()`` has it.

    Two ids that share them would only make each wait for the other: 62 of the bits are random.
    """
    return int.from_bytes(an_id.bytes[8:], "big", signed=True)


async def try_lock(connection: Connection, an_id: UUID) -> bool:
    """Take the session's advisory lock for an id, if no other session has it."""
    return bool(await SQL["server.try_lock"].fetchval(connection, key=advisory_key(an_id)))


async def unlock(connection: Connection, an_id: UUID) -> None:
    """Give the session's advisory lock back."""
    await SQL["server.unlock"].fetchval(connection, key=advisory_key(an_id))


async def refuse_read_only(connection: Connection) -> None:
    """Raise what a write would raise, when the server takes none now."""
    if await SQL["server.read_only"].fetchval(connection) == "on":
        raise asyncpg.ReadOnlySQLTransactionError("the server takes no writes")


async def server_run(connection: Connection) -> str:
    """Name the run of the server; another one after a restart, a failover or a restore."""
    return str(await SQL["server.run"].fetchval(connection))


async def close_quickly(connection: Connection, timeout_seconds: float = 1.0) -> None:
    """Close a connection that may be half dead; never raises, never waits for longer."""
    if connection.is_closed():
        return
    try:
        await connection.close(timeout=timeout_seconds)
    except Exception:  # it is to be closed, whatever it says
        connection.terminate()
