"""The job that every peer does: wait for the score, write one row, in a transaction of its own.

With ``Setup.reliable`` its start is recorded too, so that a second start can be seen. A job with a
negative number only shows that a worker takes jobs.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import psycopg_pool

from loadtest.bench.peers.protocol import Setup

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]

_INSERT = "INSERT INTO bench_rows (job, event, pid) VALUES "
_CONNECTIONS = 20

_lock = asyncio.Lock()
_pools: list[Pool] = []


async def score(job: int) -> None:
    """For libraries with asyncio."""
    setup = _setup()
    if job < 0:
        await _record(job, "ready")
        return
    if setup.reliable:
        await _record(job, "started")
    if setup.service_seconds:
        await asyncio.sleep(setup.service_seconds)
    await _record(job, "done")


def score_in_thread(job: int) -> None:
    """For libraries with threads or processes."""
    setup = _setup()
    if job < 0:
        _record_in_thread(job, "ready")
        return
    if setup.reliable:
        _record_in_thread(job, "started")
    if setup.service_seconds:
        time.sleep(setup.service_seconds)
    _record_in_thread(job, "done")


def score_in_fork(job: int) -> None:
    """For libraries that fork for each job: it is the parent that takes jobs."""
    if job < 0:
        _record_in_thread(job, "ready", os.getppid())
    else:
        score_in_thread(job)


@functools.cache
def _setup() -> Setup:
    return Setup.from_environment()


async def _record(job: int, event: str) -> None:
    async with _lock:
        if not _pools:
            size = min(_setup().concurrency, _CONNECTIONS)
            _pools.append(
                await asyncpg.create_pool(_setup().database_url, min_size=1, max_size=size)
            )
    await _pools[0].execute(f"{_INSERT} ($1, $2, $3)", job, event, os.getpid())


def _record_in_thread(job: int, event: str, pid: int | None = None) -> None:
    with _thread_pool(os.getpid()).connection() as connection:
        connection.execute(f"{_INSERT} (%s, %s, %s)", (job, event, pid or os.getpid()))


@functools.cache
def _thread_pool(_pid: int) -> psycopg_pool.ConnectionPool:
    """One for each process: a fork must not share connections."""
    return psycopg_pool.ConnectionPool(
        _setup().database_url,
        min_size=1,
        max_size=min(_setup().concurrency, _CONNECTIONS),
        kwargs={"autocommit": True},
        open=True,
    )
