"""Passwords, and TLS by an authority of one's own: to a server, to Sentinels, to a cluster's nodes.

The wheel's Valkey is built without TLS: it ends before the server (`testkit.databases.tls_front`).
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from redis import exceptions

from shortlist.storage import redis
from shortlist.storage.redis.fitness import refusal
from shortlist.urls import RedisUrl
from testkit.clients.lookouts import lookouts
from testkit.databases.certificates import authority, issued
from testkit.databases.tls_front import TlsFront
from testkit.databases.valkeys import cluster, sentinels, valkeys
from testkit.faults.whole import everything, is_whole, says_the_truth

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testkit.databases.valkeys import Valkey

pytestmark = pytest.mark.slow

USER, PASSWORD = "short:list@é", "p%@:/?#[]é word"
"""Whatever a person may choose; in the URL it is percent-encoded."""

RIGHTS = ("~sl:*", "&sl:*", "+@all", "-@admin", "-@dangerous", "+info")
"""What docs/redis.md says that the user needs."""

SENTINELS_PASSWORD = "of-the-sentinels"

CREDENTIALS = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"


async def with_user(*servers: Valkey) -> None:
    """Make the user; one without a password may do nothing."""
    for server in servers:
        await server.ask("ACL", "SETUSER", USER, "on", f">{PASSWORD}", *RIGHTS)


@dataclass
class Tls:
    """Fronts before servers, and what a URL says to trust them."""

    fronts: list[TlsFront]
    query: str

    @property
    def ports(self) -> list[int]:
        """Where they listen."""
        return [front.port for front in self.fronts]

    def lead_to(self, *ports: int) -> None:
        """Say which server each is before; of the first ones."""
        for front, port in zip(self.fronts, ports, strict=False):
            front.target = port


@asynccontextmanager
async def tls(directory: Path, count: int) -> AsyncIterator[Tls]:
    """So many fronts."""
    trusted = authority(directory / "tls", "authority")
    made = issued(trusted, directory / "tls", "IP:127.0.0.1", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    async with AsyncExitStack() as stack:
        fronts = [await stack.enter_async_context(TlsFront(context)) for _ in range(count)]
        yield Tls(fronts, f"ssl_ca_certs={quote(str(trusted.certificate))}")


async def everything_works(directory: Path, database_url: str, url: str) -> None:
    """No refusal at the start, and the whole path; the operator's look too."""
    assert await refusal(RedisUrl(url)) is None
    async with (
        everything(directory, database_url, url, "perWrite") as run,
        lookouts(database_url, url),
    ):
        await says_the_truth(run)
        await is_whole(run)
        logs = "".join(service.log for service in run.stack.services)
        assert PASSWORD not in logs
        assert quote(PASSWORD, safe="") not in logs


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_one_server(tmp_path: Path, database_url: str, scheme: str) -> None:
    async with valkeys(tmp_path, 1, administrator=True) as (server,), tls(tmp_path, 1) as fronts:
        await with_user(server)
        front = fronts.fronts[0]
        front.target = server.port
        url = f"{scheme}://{CREDENTIALS}127.0.0.1:{front.port}/0"
        if scheme == "rediss":
            url += f"?{fronts.query}"
        await everything_works(tmp_path, database_url, url)
        assert (front.by_tls > 0) == (scheme == "rediss")


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_sentinels_and_a_failover(tmp_path: Path, database_url: str, scheme: str) -> None:
    async with tls(tmp_path, 5) as fronts:
        ports = fronts.ports
        async with valkeys(tmp_path, 2, administrator=True, announced=ports) as (old, new):
            fronts.lead_to(old.port, new.port)
            async with sentinels(tmp_path, old, password=SENTINELS_PASSWORD) as own_ports:
                fronts.lead_to(old.port, new.port, *own_ports)
                await with_user(old, new)
                hosts = ",".join(f"127.0.0.1:{port}" for port in ports[2:])
                url = f"{scheme}+sentinel://{CREDENTIALS}{hosts}/line/0?sentinel_password="
                url += quote(SENTINELS_PASSWORD, safe="")
                if scheme == "rediss":
                    url += f"&{fronts.query}"
                await everything_works(tmp_path, database_url, url)
                old.kill()
                await new.leads()
                await everything_works(tmp_path, database_url, url)
                assert (fronts.fronts[1].by_tls > 0) == (scheme == "rediss")


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_a_cluster(tmp_path: Path, database_url: str, scheme: str) -> None:
    async with tls(tmp_path, 3) as fronts:
        ports = fronts.ports
        async with cluster(tmp_path, administrator=True, announced=ports) as nodes:
            await with_user(*nodes)
            fronts.lead_to(*[node.port for node in nodes])
            url = f"{scheme}+cluster://{CREDENTIALS}127.0.0.1:{ports[0]}"
            if scheme == "rediss":
                url += f"?{fronts.query}"
            await everything_works(tmp_path, database_url, url)
            assert (sum(f.by_tls for f in fronts.fronts[1:]) > 0) == (scheme == "rediss")


async def test_a_server_whose_authority_is_not_trusted_is_not_used(tmp_path: Path) -> None:
    async with valkeys(tmp_path, 1) as (server,), tls(tmp_path, 1) as fronts:
        front = fronts.fronts[0]
        front.target = server.port
        client = redis.connect(f"rediss://127.0.0.1:{front.port}/0")
        try:
            with pytest.raises(exceptions.ConnectionError, match="certificate verify failed"):
                await client.ping()
        finally:
            await client.aclose()
        assert not front.by_tls
