"""Addresses that are listened on: who can reach them."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Tell whether an address (not a name) is reached from this machine alone."""
    return _parsed(host).is_loopback


def is_unspecified(host: str) -> bool:
    """Tell whether what listens on this address listens on every address of this machine."""
    return _parsed(host).is_unspecified


def local(host: str) -> str:
    """Return the address by which this machine reaches what listens on ``host``."""
    address = _parsed(host)
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if isinstance(address, ipaddress.IPv4Address) else "::1"


def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(host.partition("%")[0])
