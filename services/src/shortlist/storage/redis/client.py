"""Clients of Redis or Valkey, 6.2 or newer."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import redis.asyncio
import redis.exceptions
from redis._parsers.base import BaseParser
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from shortlist.storage.redis import keys
from shortlist.storage.redis.connection_pool import PlainPool, SentinelPool, watched
from shortlist.urls import RedisUrl

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

    Redis: TypeAlias = redis.asyncio.Redis
else:
    Redis = redis.asyncio.Redis

BaseParser.EXCEPTION_CLASSES.setdefault("MISCONF", redis.exceptions.ReadOnlyError)
"""A server whose disk is full refuses writes with MISCONF, for which the client has no class."""

_SHARED_WITH_SENTINELS = ("socket_", "retry", "ssl", "protocol")

TIMEOUT_SECONDS = 1.0
"""For a connection to be made, and for each reply: a server that is silent for longer is away."""

CLUSTER_RETRIES = 1
"""One more try is how a client of a cluster learns who has the keys of a node that is gone. What is
sent twice by it does no harm: entries may be doubled, the claim in Postgres decides."""

_PROBE_MILLISECONDS = 10_000
_PROBE_TIMEOUT_SECONDS = 1.0


def connect(
    url: RedisUrl | str, *, timeout_seconds: float = TIMEOUT_SECONDS, max_connections: int = 64
) -> Redis:
    """Make a client that connects when first used, fails fast, and never retries by itself.

    RESP2, so that replies have one shape with every server. Trying again is the caller's
    decision: what it sends is not always safe to send twice. A server that a name leads to is
    watched (`storage.watch`); in a cluster the nodes themselves tell where a key lives now.
    """
    known = url if isinstance(url, RedisUrl) else RedisUrl(url)
    options = {
        "decode_responses": True,
        "protocol": 2,
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": max_connections,
    }
    if known.leads_to == "cluster":
        return _cluster(known, options)
    make = partial(_behind_sentinels if known.leads_to == "sentinels" else _plain, known)
    client = make(options)
    if known.is_socket:
        return client
    return watched(
        client, known.get_secret_value(), partial(make, options | {"max_connections": 1})
    )


async def new_subscription(client: Redis) -> PubSub:
    """Make a subscription that is not connected yet.

    In a cluster it is to a node of chance, because each passes everything on: the client's own
    choice is always the same one, which may be away for long.
    """
    if not isinstance(client, RedisCluster):
        return client.pubsub()
    await client.initialize()
    return client.pubsub(node=random.choice(client.get_nodes()))  # spreads load


async def takes_writes(client: Redis) -> bool:
    """Tell whether the server can be written to now; a replica, or a full one, answers a PING too.

    Of a cluster all primaries must answer: each has some of the pipelines.
    """
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
            await client.set(keys.PROBE, "1", px=_PROBE_MILLISECONDS)
            if isinstance(client, RedisCluster):
                await client.ping(target_nodes=RedisCluster.PRIMARIES)
    except Exception:  # whatever it says, it does not
        return False
    return True


def _plain(url: RedisUrl, options: dict[str, Any]) -> Redis:
    return redis.asyncio.Redis.from_pool(PlainPool(**options, **url.arguments()))


def _behind_sentinels(url: RedisUrl, options: dict[str, Any]) -> Redis:
    """Make a client of the primary, as the Sentinels name it whenever a connection is opened."""
    arguments = options | url.arguments()
    service, hosts = arguments.pop("service"), arguments.pop("hosts")
    own = arguments.pop("sentinel_credentials")
    shared = {k: v for k, v in arguments.items() if k.startswith(_SHARED_WITH_SENTINELS)}
    sentinel = Sentinel(hosts, sentinel_kwargs=shared | own, **arguments)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(service, connection_pool_class=SentinelPool)
    return client


def _cluster(url: RedisUrl, options: dict[str, Any]) -> Redis:
    arguments = options | url.arguments()
    nodes = [ClusterNode(host, port) for host, port in arguments.pop("hosts")]
    arguments["retry"] = Retry(NoBackoff(), CLUSTER_RETRIES)
    client = RedisCluster(startup_nodes=nodes, **arguments)
    return cast("Redis", client)  # the same commands, led to the node that has the key
