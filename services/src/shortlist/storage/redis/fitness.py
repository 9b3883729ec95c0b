"""What kind of Redis cannot serve, said in a sentence as a process starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.storage import redis

if TYPE_CHECKING:
    from shortlist.urls import RedisUrl

OLDEST = (6, 2)


async def refusal(url: RedisUrl) -> str | None:
    """Return why what answers at ``REDIS_URL`` cannot serve, and what to write; None when it can.

    One that is away is none of this, nor one that is a replica just now: that is waited for.
    """
    client = redis.connect(url)
    try:
        info = await client.info()  # its own time-outs bound it: cut off, it leaves sockets open
    except Exception as error:  # the caller that uses it reports it
        return _wrong_scheme(url, error)
    finally:
        await client.aclose()
    return why_unfit(info, clustered=url.leads_to == "cluster")


def why_unfit(info: dict[str, Any], *, clustered: bool) -> str | None:
    """Return why a server cannot serve, by its ``INFO``; ``clustered``: as one of a cluster."""
    version = str(info.get("redis_version", "6.2"))
    if info.get("redis_mode", info.get("server_mode")) == "sentinel":
        return "it is a Sentinel; write redis+sentinel://host:26379/service/0"
    if info.get("cluster_enabled") and not clustered:
        return "it is a node of a Redis Cluster; write redis+cluster://host:6379"
    if tuple(int(n) for n in version.split(".")[:2]) < OLDEST:
        return f"it is Redis {version}; 6.2 or newer is needed"
    policy = str(info.get("maxmemory_policy", ""))
    if policy.startswith("allkeys") and info.get("maxmemory"):
        return f"it removes lines when it is full (maxmemory-policy {policy}); set noeviction"
    return None


def _wrong_scheme(url: RedisUrl, error: Exception) -> str | None:
    if url.leads_to == "cluster" and "Cluster mode is not enabled" in str(error):
        return "it is no cluster; write redis://"
    if url.leads_to == "sentinels" and "unknown command" in str(error):
        return "it is no Sentinel; write redis://"
    return None
