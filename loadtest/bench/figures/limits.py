"""What this machine, its Postgres and its Redis can do at all: the ceiling of all figures."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from loadtest.bench.figure import Figure, Samples

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from loadtest.bench.bench import Bench, Place

_SECONDS = 1.0
_PAGE_BYTES = 8192
_GROUP_ROWS = 500
_PIPELINED = 500


async def run(bench: Bench) -> list[Figure]:
    """fsyncs, commits and pipelined XADDs per second, in turns."""
    samples: dict[str, list[float]] = {name: [] for name in _MEASURES}
    async with bench.place() as place:
        connection = await place.connect()
        await connection.execute("CREATE TABLE limits (n bigint PRIMARY KEY, payload text)")
        await connection.execute("CREATE SEQUENCE numbers")
        await connection.close()
        for _ in range(bench.rounds):
            for name, (_, measure) in _MEASURES.items():
                samples[name].append(await measure(bench, place))
    return [
        Figure(name, title, "/s", Samples.of(samples[name]))
        for name, (title, _) in _MEASURES.items()
    ]


async def _fsyncs(bench: Bench, _place: Place) -> float:
    return await asyncio.to_thread(_fsyncs_in, bench.directory)


def _fsyncs_in(directory: Path) -> float:
    """One page and one fdatasync at a time, as Postgres does with its log."""
    path = directory / "fsync"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, bytes(_PAGE_BYTES * 1000))
    os.fsync(descriptor)
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + _SECONDS:
        os.pwrite(descriptor, bytes(_PAGE_BYTES), _PAGE_BYTES * (count % 1000))
        os.fdatasync(descriptor)
        count += 1
    elapsed = time.perf_counter() - started
    os.close(descriptor)
    path.unlink()
    return count / elapsed


async def _single(_bench: Bench, place: Place) -> float:
    return await _statements(place, connections=1, rows=1)


async def _crowd(_bench: Bench, place: Place) -> float:
    return await _statements(place, connections=16, rows=1)


async def _groups(_bench: Bench, place: Place) -> float:
    return _GROUP_ROWS * await _statements(place, connections=2, rows=_GROUP_ROWS)


async def _statements(place: Place, connections: int, rows: int) -> float:
    """Statements per second, each a commit, from some connections side by side."""
    counts = [0] * connections
    until = time.perf_counter() + _SECONDS

    async def insert(index: int) -> None:
        connection = await place.connect()
        statement = await connection.prepare(
            "INSERT INTO limits SELECT nextval('numbers'), p FROM unnest($1::text[]) p"
        )
        payloads = ["x" * 200] * rows
        while time.perf_counter() < until:
            await statement.fetch(payloads)
            counts[index] += 1
        await connection.close()

    await asyncio.gather(*(insert(index) for index in range(connections)))
    return sum(counts) / _SECONDS


async def _xadds(_bench: Bench, place: Place) -> float:
    return await asyncio.to_thread(_xadds_to, place.redis_url)


def _xadds_to(url: str) -> float:
    """Ready-made commands over one socket: the server's speed, not a client library's."""
    address = urlparse(url)
    one = _command("XADD", "limits", "MAXLEN", "~", "10000", "*", "id", "0" * 36)
    with socket.create_connection((address.hostname, address.port)) as connection:
        count, started = 0, time.perf_counter()
        while time.perf_counter() < started + _SECONDS:
            connection.sendall(one * _PIPELINED)
            lines = 0
            while lines < 2 * _PIPELINED:  # a length and an id for each
                lines += connection.recv(65_536).count(b"\r\n")
            count += _PIPELINED
        return count / (time.perf_counter() - started)


def _command(*words: str) -> bytes:
    """One command in RESP."""
    parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{parts}".encode()


_MEASURES: dict[str, tuple[str, Callable[[Bench, Place], Awaitable[float]]]] = {
    "limit_fsync": ("fdatasync of one 8 KiB page", _fsyncs),
    "limit_commits_one": ("one-row commits, one connection", _single),
    "limit_commits_crowd": ("one-row commits, 16 connections", _crowd),
    "limit_rows_grouped": (f"rows in groups of {_GROUP_ROWS}, 2 connections", _groups),
    "limit_xadd": ("pipelined XADDs, one connection", _xadds),
}
