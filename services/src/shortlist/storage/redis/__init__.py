"""Redis, the line: its client, its keys, and what each of them holds."""

from shortlist.storage.redis.client import (
    Redis,
    connect,
    new_subscription,
    takes_writes,
)

__all__ = [
    "Redis",
    "connect",
    "new_subscription",
    "takes_writes",
]
