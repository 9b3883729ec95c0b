"""A Redis that cannot serve is refused in one sentence as a process starts."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from shortlist.storage.redis.fitness import refusal, why_unfit
from shortlist.urls import RedisUrl
from testkit.databases.valkeys import cluster, sentinels, valkeys

if TYPE_CHECKING:
    from pathlib import Path


async def test_each_wrong_scheme_is_refused_and_each_right_one_is_not(tmp_path: Path) -> None:
    async with (
        valkeys(tmp_path) as (primary, replica),
        sentinels(tmp_path, primary, 1) as (sentinel,),
        cluster(tmp_path) as (node, *_),
    ):
        assert "is a Sentinel" in str(await refusal(RedisUrl(f"redis://127.0.0.1:{sentinel}")))
        assert "a node of a Redis Cluster" in str(await refusal(RedisUrl(node.url)))
        assert "is no cluster" in str(
            await refusal(RedisUrl(f"redis+cluster://127.0.0.1:{primary.port}"))
        )
        assert "is no Sentinel" in str(
            await refusal(RedisUrl(f"redis+sentinel://127.0.0.1:{primary.port}/line"))
        )
        for url in (
            primary.url,
            replica.url,  # it may lead in a moment
            f"redis+sentinel://127.0.0.1:{sentinel}/line/0",
            f"redis+cluster://127.0.0.1:{node.port}",
            "redis://127.0.0.1:1",  # away
        ):
            assert await refusal(RedisUrl(url)) is None


async def test_a_redis_that_removes_lines_is_refused_by_every_process(tmp_path: Path) -> None:
    flags = "--maxmemory-policy", "allkeys-lru", "--maxmemory", "50mb"
    async with valkeys(tmp_path, 1, *flags) as (server,):
        for process in ("ingest", "worker", "maintenance", "dashboard"):
            ended = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "shortlist", process,
                env={
                    "PATH": os.environ["PATH"],
                    "REDIS_URL": server.url,
                    "SHORTLIST_PORT": "0",
                    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
                },
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, said = await ended.communicate()
            assert ended.returncode == 1
            assert said.decode().strip() == (
                "shortlist: REDIS_URL cannot be used: it removes lines when it is full "
                "(maxmemory-policy allkeys-lru); set noeviction."
            )


@pytest.mark.parametrize(
    ("version", "fit"), [("5.0.14", False), ("6.0.20", False), ("6.2.0", True), ("10.0.1", True)]
)
def test_an_old_redis_is_refused(version: str, fit: bool) -> None:  # noqa: FBT001
    assert (why_unfit({"redis_version": version}, clustered=False) is None) == fit
