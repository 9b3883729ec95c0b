"""Postgres by TLS only, with a certificate of one's own authority: as the URL says, no less."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg
import pytest

from shortlist.embedded.servers import binaries
from shortlist.storage import postgres
from shortlist.storage.faults import Fault, fault_of
from shortlist.storage.postgres import migrate
from shortlist.urls import DatabaseUrl
from testkit.databases.certificates import Certificate, authority, issued
from testkit.databases.postgreses import Postgres, postgreses
from testkit.databases.switch import Switch
from testkit.faults.failover import LEFT_AS_IT_IS, all_fail_over
from testkit.faults.whole import everything
from testkit.processes.stack import Stack
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_HBA = """
local all all scram-sha-256
hostssl all all 127.0.0.1/32 scram-sha-256
hostssl replication all 127.0.0.1/32 scram-sha-256
"""


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers are this machine's own Postgres: that of the wheel was built without TLS."""
    found = binaries._newest_installed()
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("Postgres is missing (Debian's package postgresql)")
    if found is None:
        pytest.skip("Postgres is not installed (Debian's package postgresql)")
    monkeypatch.setattr(binaries, "postgres", lambda: found)


@pytest.fixture
def ours(tmp_path: Path) -> Certificate:
    """The authority of the server's certificate."""
    return authority(tmp_path / "tls", "ours")


@pytest.fixture
def another(tmp_path: Path) -> Certificate:
    """An authority that did not issue it."""
    return authority(tmp_path / "tls", "another")


@pytest.fixture
def by_tls(tmp_path: Path, ours: Certificate) -> dict[str, str]:
    """Settings of a server that is called 127.0.0.1 and speaks TLS only."""
    directory = tmp_path / "tls"
    server = issued(ours, directory, "IP:127.0.0.1")
    server.hand_over(Postgres(tmp_path / "pg-a").owner)
    hba = directory / "hba.conf"
    hba.write_text(_HBA, encoding="utf-8")
    return {
        "ssl": "on",
        "ssl_cert_file": str(server.certificate),
        "ssl_key_file": str(server.key),
        "hba_file": str(hba),
    }


def with_tls(url: str, mode: str, roots: Certificate | None = None) -> str:
    """What a user would add to a URL."""
    more = "" if roots is None else f"&sslrootcert={quote(str(roots.certificate), safe='')}"
    return f"{url}?sslmode={mode}{more}"


@asynccontextmanager
async def a_server(directory: Path, settings: dict[str, str]) -> AsyncIterator[Postgres]:
    server = Postgres(directory / "pg-a", settings=settings)
    try:
        await server.start()
        await server.ask("CREATE DATABASE shortlist", database="postgres")
        yield server
    finally:
        server.kill()


async def is_encrypted(url: str) -> bool:
    """Connect as every process does, and look as its watch does."""
    connection = await postgres.connect(url, application_name="tls", timeout_seconds=10)
    try:
        assert (await postgres.connection._observe(DatabaseUrl(url))).writable
        return bool(
            await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        )
    finally:
        await postgres.close_quickly(connection)


async def test_tls_is_as_the_url_says(
    tmp_path: Path, ours: Certificate, another: Certificate, by_tls: dict[str, str]
) -> None:
    async with a_server(tmp_path, by_tls) as server:
        url, by_another_name = server.url(), server.url().replace("127.0.0.1", "localhost")
        for good in (
            with_tls(url, "prefer"),
            with_tls(url, "require"),
            with_tls(url, "require", ours),
            with_tls(url, "verify-ca", ours),
            with_tls(url, "verify-full", ours),
            with_tls(by_another_name, "verify-ca", ours),
        ):
            assert await is_encrypted(good), good
        for bad in (
            with_tls(url, "require", another),  # as libpq has it
            with_tls(url, "verify-ca", another),
            with_tls(url, "verify-full", another),
            with_tls(url, "verify-full"),  # what the system trusts
            with_tls(by_another_name, "verify-full", ours),
        ):
            with pytest.raises(ssl.SSLCertVerificationError) as refused:
                await is_encrypted(bad)
            assert fault_of(refused.value) is Fault.EVERYONE
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError) as refused_by_server:
            await is_encrypted(with_tls(url, "disable"))
        assert fault_of(refused_by_server.value) is Fault.EVERYONE


@pytest.mark.parametrize("arguments", [("migrate",), ("requeue", "--all-failed"), ("up",)])
async def test_a_certificate_of_another_authority_is_refused_in_a_sentence(
    tmp_path: Path, another: Certificate, by_tls: dict[str, str], redis_url: str,
    arguments: tuple[str, ...],
) -> None:  # fmt: skip
    async with a_server(tmp_path, by_tls) as server:
        url = with_tls(server.url(), "verify-full", another)
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "shortlist", *arguments],
            env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "REDIS_URL": redis_url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode != 0
    said = done.stderr.strip().splitlines()
    assert len(said) == 1, done.stderr
    assert "certificate verify failed" in said[0]
    assert server.password not in done.stdout + done.stderr


async def test_a_process_says_of_a_certificate_of_another_authority_that_it_is_refused(
    tmp_path: Path, another: Certificate, by_tls: dict[str, str], redis_url: str
) -> None:
    async with a_server(tmp_path, by_tls) as server:
        url = with_tls(server.url(), "verify-full", another)
        async with Stack(tmp_path, url, redis_url) as stack:
            worker = await stack.start("worker", wait=False)

            async def refused() -> bool:
                return "postgres_refuses_everyone" in worker.log

            await until(refused, what="it is said")
            assert "certificate verify failed" in worker.log
            assert (await worker.health())["code"] == 503
            assert worker.log.count("postgres_refuses_everyone") == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["frozen", LEFT_AS_IT_IS])
async def test_postgres_fails_over_with_tls(
    tmp_path: Path, ours: Certificate, by_tls: dict[str, str], redis_url: str, how: str
) -> None:
    async with postgreses(tmp_path, by_tls) as (old, new), Switch(old.port) as name:
        await migrate.migrate(old.url())
        url = with_tls(old.url(name.port), "verify-full", ours)
        async with everything(tmp_path, url, redis_url, "perWrite") as run:
            await all_fail_over(run, old, new, name, how)
