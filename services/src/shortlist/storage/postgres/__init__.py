"""Postgres, the truth: its connections, its schema, its roles; statements are in `queries`."""

from shortlist.storage.postgres.connection import (
    Connection,
    ServerClock,
    advisory_key,
    close_quickly,
    connect,
    pooler_clients,
    refuse_read_only,
    server_run,
    try_lock,
    unlock,
)

__all__ = [
    "Connection",
    "ServerClock",
    "advisory_key",
    "close_quickly",
    "connect",
    "pooler_clients",
    "refuse_read_only",
    "server_run",
    "try_lock",
    "unlock",
]
