"""Clients of Redis or Valkey, 6.2 or newer, and which errors mean that it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import redis.asyncio
import redis.exceptions
from redis._parsers.base import BaseParser
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shortlist.urls import RedisUrl

if TYPE_CHECKING:
    Redis: TypeAlias = redis.asyncio.Redis
else:
    Redis = redis.asyncio.Redis

BaseParser.EXCEPTION_CLASSES.setdefault("MISCONF", redis.exceptions.ReadOnlyError)
"""A server whose disk is full refuses writes with MISCONF, for which the client has no class."""

REDIS_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
)
"""What the client raises when Redis is away, loading, full (its memory or its disk), or demoted."""

ResponseError = redis.exceptions.ResponseError

REDIS_REFUSALS: tuple[type[BaseException], ...] = (*REDIS_ERRORS, ResponseError)
"""The same, and whatever else Redis may answer: a permission is missing, a script is busy …"""


def connect(
    url: RedisUrl | str, *, timeout_seconds: float = 1.0, max_connections: int = 64
) -> Redis:
    """A client that connects when first used, fails fast, and never retries by itself.

    RESP2, so that replies have one shape with every server. Trying again is the caller's
    decision: what it sends is not always safe to send twice.
    """
    known = url if isinstance(url, RedisUrl) else RedisUrl(url)
    return redis.asyncio.Redis(
        **known.arguments(),
        decode_responses=True,
        protocol=2,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        max_connections=max_connections,
    )
