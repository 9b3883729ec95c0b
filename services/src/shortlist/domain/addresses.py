"""Addresses that are listened on: who can reach them."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether an address (not a name) is reached from this machine alone."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
