"""Who is in: all connections of one listener, in the order in which they would have to go.

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
    Order = OrderedDict["Guest", float]

KEEP_ALIVE_SECONDS = 75.0
"""Longer than the idle time-outs of the usual load balancers (60 s): theirs must come first."""

UNREAD_SECONDS = 30.0
"""A client that has not taken 48 KiB in this time (16 KB/s) reads no more."""

LINGER_SECONDS = 2.0
"""How long a client that was refused may go on sending before the connection is closed."""

_EXPIRY_SECONDS = 0.5
_AT_A_TIME = 50
"""So many are seen off between two turns of the loop: 50 answers take a few milliseconds."""

Entry = Literal["welcome", "refused", "closed"]


def refusable(connections: int) -> int:
    """Connections beyond the limit that are let in to be told so; one more is closed at once."""
    return min(256, max(16, connections // 8))


class Guest(Protocol):
    """What a connection is to the house."""

    visit: Visit

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
class Visit:
    """What the house remembers of a connection."""

    network: Network
    order: Order | None = None
    charged: int = 0
    inside: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener puts up with."""

    connections: int = 1_000
    per_network: int | None = None
    """Connections of one network; None: half of all."""
    request_seconds: float = 10.0
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS
    ipv6_prefix: int = 64
    proxies: Proxies = NO_PROXIES
    """Our own proxies bring many clients: no cap of a network is theirs."""


class House:
    """The connections of one listener."""

    def __init__(self, limits: Limits, budget: Budget) -> None:
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

    def enter(self, guest: Guest, address: str | None) -> Entry:
        """Count a connection. One that is not welcome is told so, or not even that."""
        network = self._network(address)
        network.open += 1
        self.open += 1
        guest.visit = Visit(network)
        welcome = self._has_place_in(network, address) and self._has_place()
        self.charge(guest, CONNECTION_BYTES)
        self.move(guest, self.silent)
        if welcome:
            return "welcome"
        return "refused" if self.open <= self._most_open else "closed"

    def leave(self, guest: Guest) -> None:
        """Forget a connection. Repeatable."""
        visit = guest.visit
        if not visit.inside:
            return
        self.move(guest, None)
        self.budget.add(-visit.charged)
        visit.charged, visit.inside = 0, False
        self.open -= 1
        visit.network.open -= 1
        self._forget(visit.network)

    def move(self, guest: Guest, order: Order | None) -> None:
        """Put a connection at the end of an order; None: it is in none."""
        visit = guest.visit
        if not visit.inside:
            return
        if visit.order is not None:
            del visit.order[guest]
            if visit.order is self.idle and visit.network.idle is not None:
                del visit.network.idle[guest]
        visit.order = order
        if order is None:
            return
        order[guest] = now = time.monotonic()
        if order is self.idle:
            if visit.network.idle is None:
                visit.network.idle = OrderedDict()
            visit.network.idle[guest] = now

    def charge(self, guest: Guest, held_bytes: int) -> None:
        """What a connection holds now, itself included."""
        visit = guest.visit
        if visit.inside:
            more, visit.charged = held_bytes - visit.charged, held_bytes
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
        """One has ended."""
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
                guest = next(iter(order))
                guest.overdue()
                if guest.visit.order is order:  # it may stay
                    self.move(guest, order)
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
        """Whether there is a place, after the longest idle has made one."""
        if self.open <= self.limits.connections and not self.budget.is_full:
            return True
        return self._give_up_one(self.leaving, self._longest_idle, self.unread, self.slow)

    def _has_place_in(self, network: Network, address: str | None) -> bool:
        """The same within one network: it is its own longest idle that makes place."""
        most = self.limits.per_network or max(1, self.limits.connections // 2)
        if network.open <= most or self._is_exempt(address):
            return True
        return network.idle is not None and self._give_up_one(network.idle)

    def _give_up_bytes(self) -> bool:
        """Those that hold more than their connections. Another connection takes another's place."""
        return self._give_up_one(self.unread, self.slow)

    @property
    def _longest_idle(self) -> Order:
        """Of the two that hold no more than their connections the one with the oldest."""
        if not self.silent or not self.idle:
            return self.silent or self.idle
        since = [next(iter(order.values())) for order in (self.silent, self.idle)]
        return self.silent if since[0] < since[1] else self.idle

    def _give_up_one(self, *orders: Order) -> bool:
        for order in orders:
            if order:
                guest = next(iter(order))
                CLIENTS_GIVEN_UP.labels(self._name(guest.visit.order)).inc()
                guest.give_up()
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


async def see_off(house: House) -> None:
    """End what takes too long, for ever."""
    while True:
        there_are_more = house.expire(time.monotonic(), _AT_A_TIME)
        await asyncio.sleep(0 if there_are_more else _EXPIRY_SECONDS)
