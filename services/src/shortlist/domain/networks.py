"""Which network an address belongs to: what a client can have many of is counted by this.

One IPv6 customer has at least a /64, so an address of his is as good as a name that he makes up.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.memo import remembers_short

if TYPE_CHECKING:
    from collections.abc import Sequence

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network
    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOCAL = "local"
"""Stands for a peer without an address: a Unix socket's."""

_IPV4 = 4

_LONGEST_CHARACTERS = 64
"""An IPv6 address with a zone, brackets and a port fits."""


@remembers_short(maxsize=4_096)
def parse_address(text: str) -> Address | None:
    """Parse an address as proxies and sockets write it, with or without a port; None: it is none.

    IPv4 within IPv6 (``::ffff:192.0.2.1``) is IPv4; a zone (``%eth0``) says nothing about a client.
    """
    if len(text) > _LONGEST_CHARACTERS:
        return None
    host = text.strip().strip('"')
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@remembers_short(maxsize=4_096)
def network_of(text: str, ipv6_prefix: int) -> str:
    """Name the network of an address: an IPv4 address is its own, IPv6 has a prefix.

    What is no address names nothing that could be told apart: all such text is one network.
    """
    address = parse_address(text)
    if address is None:
        return LOCAL
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((int(address), ipv6_prefix), strict=False))


@remembers_short(maxsize=4_096)
def network_around(text: str, ipv6_prefix: int, ipv4_prefix: int) -> str:
    """Name the network of an address by its first bits, whichever kind it is."""
    address = parse_address(text)
    if address is None:
        return LOCAL
    prefix = ipv4_prefix if address.version == _IPV4 else ipv6_prefix
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))


def parse_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas; raises `ValueError` when one is none."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


@dataclass(frozen=True)
class Proxies:
    """Which of the addresses that a request came through are our own proxies."""

    networks: Sequence[Network] = ()
    hops: int = 0
    """How many proxies in front append to X-Forwarded-For, whatever their addresses."""

    def include(self, address: str) -> bool:
        """Tell whether an address is one of our proxies'."""
        return bool(self.networks) and self._include(address)

    def may_speak_for_others(self, peer: str) -> bool:
        """Tell whether what a peer says of the client behind it counts."""
        return self.hops > 0 or self.include(peer)

    def client(self, peer: str, forwarded: str) -> str:
        """Find the address of the client behind the proxies.

        Args:
            peer: the address that the connection is from.
            forwarded: the request's X-Forwarded-For; several are joined by commas.

        Each proxy appends the address of its peer. So the list is read from its end: what
        stands before the first address that is none of our proxies is the client's own claim.
        """
        if not self.may_speak_for_others(peer):
            return peer
        parts = (one.strip() for one in forwarded.rsplit(",", self._most)[-self._most :])
        chain = [one for one in parts if one]
        if self.hops:
            seen = chain[-self.hops :]
            return seen[0] if seen and parse_address(seen[0]) else peer
        for one in reversed(chain):
            if parse_address(one) is None:
                return peer
            if not self.include(one):
                return one
            peer = one
        return peer

    @property
    def _most(self) -> int:
        return self.hops or _MOST_PROXIES

    def _include(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self.networks)


_MOST_PROXIES = 16
"""A longer chain is not read: its cost is bounded, whatever a client claims."""

NO_PROXIES = Proxies()
