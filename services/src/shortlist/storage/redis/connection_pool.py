"""Connections to Redis that are not used again once they may be the wrong ones.

redis-py closes a connection when it breaks, and keeps one whose server answers that it is a
replica, is loading or is cut off from its primary: every caller tries again on it, for ever. Here
any error reply but an ordinary answer marks the connection, which is then closed as it comes back,
and with it those that are idle: the next try opens a new one, which is led to the primary of now.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from shortlist.storage.faults import breaks_connection, is_answer, lacks_script
from shortlist.storage.watch import Sight, watch_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio.client import Redis

_ANSWERS = ("BUSYGROUP", "NOGROUP", "no such key")
"""Error replies that say how things are, to one who asked for that."""


class _Marking(AbstractConnection):
    """A connection that is closed, as it comes back to its pool, after an error reply."""

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """Read one reply; raises what an error reply says."""
        try:
            return await super().read_response(*arguments, **options)
        except Exception as error:
            is_ordinary = str(error).startswith(_ANSWERS) or lacks_script(error)
            if is_answer(error) and not is_ordinary and breaks_connection(error):
                _mark(self)
            raise


class _Tcp(_Marking, Connection):
    """By TCP."""


class _Tls(_Marking, SSLConnection):
    """By TLS."""


class _Socket(_Marking, UnixDomainSocketConnection):
    """By a Unix socket."""


class _SentinelTcp(_Marking, SentinelManagedConnection):
    """By TCP, to the primary that the Sentinels name."""


class _SentinelTls(_Marking, SentinelManagedSSLConnection):
    """By TLS, to the primary that the Sentinels name."""


class _Leaving(ConnectionPool):
    """A pool that leaves all its connections when one of them turns out to be the wrong one."""

    observe_server: Callable[[], Awaitable[Sight]] | None = None
    """Set to have the server watched (`storage.watch`)."""
    watched_as: str = ""

    def leave(self) -> None:
        """Use no connection again that was opened by now; who waits for a reply waits no longer.

        The reply of a server that is not the primary any more is of no use, and one that is
        frozen gives none: a pull would wait for it for 3 s.
        """
        _mark(*self._available_connections, *self._in_use_connections)
        _cut_off(*self._in_use_connections)

    def make_connection(self) -> Any:
        """Make a connection that is not yet connected."""
        if self.observe_server is not None:
            watch_of(self.watched_as, self.observe_server).tend(self, _Leaving.leave)
        return super().make_connection()  # type: ignore[no-untyped-call]

    async def ensure_connection(self, connection: Any) -> None:
        """Connect it, anew when it was left meanwhile."""
        if connection.should_reconnect():
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)

    async def release(self, connection: Any) -> None:
        """Take a lent connection back."""
        if connection.should_reconnect():
            _mark(*self._available_connections)
        await super().release(connection)

    async def aclose(self) -> None:
        """Close all connections."""
        if self.observe_server is not None:
            await watch_of(self.watched_as, self.observe_server).end(self)
        await super().aclose()


def is_left(connection: Any) -> bool:
    """Tell whether a connection that is lent for long must be given up now."""
    return bool(connection.should_reconnect())


def _mark(*connections: Any) -> None:
    for connection in connections:
        connection.mark_for_reconnect()


def _cut_off(*connections: Any) -> None:
    """Have who reads from them meet the end of the stream.

    Not `disconnect`: it takes the parser away from the task that reads with it.
    """
    for connection in connections:
        if (writer := connection._writer) is not None:  # noqa: SLF001 (nothing public is as quick)
            writer.transport.abort()


class PlainPool(_Leaving):
    """Connections to the server that a URL names."""

    def __init__(self, **options: Any) -> None:
        """Take the options of `redis.asyncio.Redis`."""
        kind: type[_Marking] = _Tls if options.pop("ssl", False) else _Tcp
        if "unix_socket_path" in options:
            kind, options["path"] = _Socket, options.pop("unix_socket_path")
        super().__init__(connection_class=kind, **options)


class SentinelPool(_Leaving, SentinelConnectionPool):
    """Connections to the primary that the Sentinels name; owns its clients of the Sentinels."""

    def __init__(self, service_name: str, sentinel_manager: Any, **options: Any) -> None:
        """Take what `redis.asyncio.sentinel.Sentinel.master_for` passes on."""
        kind = _SentinelTls if options.pop("ssl", False) else _SentinelTcp
        super().__init__(service_name, sentinel_manager, connection_class=kind, **options)  # type: ignore[no-untyped-call]

    async def aclose(self) -> None:
        """Close all connections, those to the Sentinels too."""
        await super().aclose()
        await self.sentinel_manager.aclose()


def watched(client: Redis, url: str, connect_anew: Callable[[], Redis]) -> Redis:
    """Have the server of a client watched; ``connect_anew`` makes a client for one look."""
    pool: Any = client.connection_pool
    pool.observe_server = partial(_observe, connect_anew)
    pool.watched_as = url
    return client


async def _observe(connect_anew: Callable[[], Redis]) -> Sight:
    client = connect_anew()
    try:
        server, replication = await client.info("server"), await client.info("replication")
    finally:
        await client.aclose()
    return Sight(server["run_id"], writable=replication.get("role") == "master")
