"""The open connections of one listener, in the order in which they would have to go.

A connection is in at most one of five orders, oldest first:

- ``silent``: nothing was asked yet;
- ``idle``: everything was answered, and nothing new was asked;
- ``slow``: what is asked has not arrived whole, or waits behind an answer that is not finished;
- ``unread``: the client does not read its answers;
- ``leaving``: it was refused, and may still read why.

Those whose request is being answered are in none. Each order has a time after which its oldest go.
When connections or bytes run out the oldest go before that; when that frees nothing, those who
come are refused. Each step costs the same however many are in.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from shortlist.domain.networks import LOCAL, NO_PROXIES, Proxies, network_of
from shortlist.http.budget import CONNECTION_BYTES, RUNNING_BYTES, Budget
from shortlist.telemetry.metrics import CLIENTS_GIVEN_UP

if TYPE_CHECKING:
    Order = OrderedDict["ClientConnection", float]

KEEP_ALIVE_SECONDS = 75.0
"""Longer than the idle time-outs of the usual load balancers (60 s): theirs must come first."""

UNREAD_SECONDS = 30.0
"""A client that has not taken 48 KiB in this time (16 KB/s) reads no more."""

LINGER_SECONDS = 2.0
"""How long a client that was refused may go on sending before the connection is closed."""

_EXPIRY_SECONDS = 0.5
_AT_A_TIME = 50
"""So many are ended between two turns of the loop: 50 answers take a few milliseconds."""

Admission = Literal["admitted", "refused", "closed"]


def refusable(connections: int) -> int:
    """Return how many beyond the limit get an answer that says so; one more is closed at once."""
    return min(256, max(16, connections // 8))


class ClientConnection(Protocol):
    """A connection as the table sees it."""

    record: ConnectionRecord

    def overdue(self) -> None:
        """End it, or do not, when its order's time is over."""

    def give_up(self) -> None:
        """End it now: its place or its bytes are needed."""


@dataclass(slots=True)
class Network:
    """What the connections of one network have together."""

    name: str
    open: int = 0
    streams: int = 0
    idle: Order | None = None


@dataclass(slots=True)
class ConnectionRecord:
    """What the table keeps of a connection."""

    network: Network
    order: Order | None = None
    charged: int = 0
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """What one listener allows."""

    connections: int = 1_000
    per_network: int | None = None
    """Connections of one network; None: half of all."""
    request_seconds: float = 10.0
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS
    ipv6_prefix: int = 64
    proxies: Proxies = NO_PROXIES
    """Our own proxies bring many clients: no cap of a network is theirs."""


class ConnectionTable:
    """The open connections of one listener, and their bounds."""

    def __init__(self, limits: ListenerLimits, budget: Budget) -> None:
        """``budget`` is the process's."""
        self.limits = limits
        self.budget = budget
        self.open = 0
        self.streams = 0
        self.silent: Order = OrderedDict()
        self.idle: Order = OrderedDict()
        self.slow: Order = OrderedDict()
        self.unread: Order = OrderedDict()
        self.leaving: Order = OrderedDict()
        self._most_open = limits.connections + refusable(limits.connections)
        self._networks: dict[str, Network] = {}
        budget.give_up = self._give_up_bytes

    # --- coming and going

    def add(self, connection: ClientConnection, address: str | None) -> Admission:
        """Count a connection; whether it is admitted, refused with an answer, or closed at once."""
        network = self._network(address)
        network.open += 1
        self.open += 1
        connection.record = ConnectionRecord(network)
        has_place = self._has_place_in(network, address) and self._has_place()
        self.charge(connection, CONNECTION_BYTES)
        self.move(connection, self.silent)
        if has_place:
            return "admitted"
        return "refused" if self.open <= self._most_open else "closed"

    def remove(self, connection: ClientConnection) -> None:
        """Forget a connection. Repeatable."""
        record = connection.record
        if not record.is_open:
            return
        self.move(connection, None)
        self.budget.add(-record.charged)
        record.charged, record.is_open = 0, False
        self.open -= 1
        record.network.open -= 1
        self._forget(record.network)

    def move(self, connection: ClientConnection, order: Order | None) -> None:
        """Put a connection at the end of an order; None: it is in none."""
        record = connection.record
        if not record.is_open:
            return
        if record.order is not None:
            del record.order[connection]
            if record.order is self.idle and record.network.idle is not None:
                del record.network.idle[connection]
        record.order = order
        if order is None:
            return
        order[connection] = now = time.monotonic()
        if order is self.idle:
            if record.network.idle is None:
                record.network.idle = OrderedDict()
            record.network.idle[connection] = now

    def charge(self, connection: ClientConnection, held_bytes: int) -> None:
        """Charge a connection for what it holds now, itself included."""
        record = connection.record
        if record.is_open:
            more, record.charged = held_bytes - record.charged, held_bytes
            self.budget.add(more)

    # --- streams

    def begin_stream(self, address: str | None) -> Network | None:
        """Count an answer that may last for ever; None when there are too many.

        Half of the connections and half of the bytes stay for what ends; half of the streams for
        other networks. What is returned goes to `end_stream`.
        """
        each = 2 * (CONNECTION_BYTES + RUNNING_BYTES)
        most = min(self.limits.connections // 2, self.budget.limit_bytes // each)
        network = self._network(address)
        capped = not self._is_exempt(address) and network.streams >= max(1, most // 2)
        if self.streams >= most or capped:
            return None
        self.streams += 1
        network.streams += 1
        return network

    def end_stream(self, network: Network) -> None:
        """Forget a stream that has ended."""
        self.streams -= 1
        network.streams -= 1
        self._forget(network)

    # --- what has to go

    def expire(self, now: float, most: int) -> bool:
        """End what has been in its order for too long; whether ``most`` were not enough.

        ``now`` is monotonic.
        """
        for order, seconds in self._times:
            while order and now - next(iter(order.values())) >= seconds:
                if not most:
                    return True
                most -= 1
                connection = next(iter(order))
                connection.overdue()
                if connection.record.order is order:  # it may stay
                    self.move(connection, order)
        return False

    @property
    def _times(self) -> tuple[tuple[Order, float], ...]:
        return (
            (self.leaving, LINGER_SECONDS),
            (self.silent, self.limits.request_seconds),
            (self.slow, self.limits.request_seconds),
            (self.unread, UNREAD_SECONDS),
            (self.idle, self.limits.keep_alive_seconds),
        )

    def _has_place(self) -> bool:
        """Tell whether there is a place, after the longest idle has made one."""
        if self.open <= self.limits.connections and not self.budget.is_full:
            return True
        return self._give_up_one(self.leaving, self._longest_idle, self.unread, self.slow)

    def _has_place_in(self, network: Network, address: str | None) -> bool:
        """Tell whether its network has a place, after that network's longest idle has made one."""
        most = self.limits.per_network or max(1, self.limits.connections // 2)
        if network.open <= most or self._is_exempt(address):
            return True
        return network.idle is not None and self._give_up_one(network.idle)

    def _give_up_bytes(self) -> bool:
        """Give up one that holds more than its connection: another connection takes its place."""
        return self._give_up_one(self.unread, self.slow)

    @property
    def _longest_idle(self) -> Order:
        """Choose of the two that hold no more than their connections the one with the oldest."""
        if not self.silent or not self.idle:
            return self.silent or self.idle
        since = [next(iter(order.values())) for order in (self.silent, self.idle)]
        return self.silent if since[0] < since[1] else self.idle

    def _give_up_one(self, *orders: Order) -> bool:
        for order in orders:
            if order:
                connection = next(iter(order))
                CLIENTS_GIVEN_UP.labels(self._name(connection.record.order)).inc()
                connection.give_up()
                return True
        return False

    def _name(self, order: Order | None) -> str:
        names = ("silent", "idle", "slow", "unread", "leaving")
        return next((name for name in names if getattr(self, name) is order), "other")

    def _network(self, address: str | None) -> Network:
        name = LOCAL if address is None else network_of(address, self.limits.ipv6_prefix)
        network = self._networks.get(name)
        if network is None:
            network = self._networks[name] = Network(name)
        return network

    def _forget(self, network: Network) -> None:
        if not network.open and not network.streams:
            self._networks.pop(network.name, None)

    def _is_exempt(self, address: str | None) -> bool:
        return address is not None and self.limits.proxies.include(address)


async def expire_connections(connections: ConnectionTable) -> None:
    """End what takes too long, for ever."""
    while True:
        there_are_more = connections.expire(time.monotonic(), _AT_A_TIME)
        await asyncio.sleep(0 if there_are_more else _EXPIRY_SECONDS)
