"""A proxy in front of Redis that answers chosen commands with chosen errors.

``async with RedisProxy(url) as proxy`` and give ``proxy.url`` to a process under test. Then
``with proxy.refusing("XADD", "OOM command not allowed")`` each such command gets the error and
does not reach the server; ``"*"`` is every command. ``proxy.refused`` counts how often that
happened: a test that meets no error proves nothing. A script is refused by a part of its text
(``refusing("INCRBY", …)`` covers the one that has it, whether it is sent by ``EVAL`` or named by
``EVALSHA``).

It speaks RESP2, one command and its reply at a time; a connection that subscribes is passed on as
it is from then on.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from shortlist.storage.redis.scripts import SCRIPTS
from testkit.proxies.refusing import End, RefusingProxy, until_one_ends

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

ERRORS = (
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script.",
    "NOREPLICAS Not enough good replicas to write.",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Redis is configured to save RDB snapshots",
    "CLUSTERDOWN Hash slot not served",
    "MOVED 3999 127.0.0.1:1",
    "NOPERM User x has no permissions to run this command",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
)
"""What Redis and Valkey say when it is not the command's fault; and one that is."""

_CALLED = re.compile(r"call\('([A-Z]+)'")
_SUBSCRIBES = {"SUBSCRIBE", "PSUBSCRIBE"}
_HANDSHAKE = {"AUTH", "HELLO", "SELECT", "CLIENT"}
"""Never refused by ``*``: a client that has no connection meets no error at its step."""


@dataclass
class Refusal:
    """Which commands get which error."""

    command: str
    error: str
    said: int = 0
    """How often."""

    def covers(self, words: list[bytes]) -> bool:
        """Whether a command is to be refused: by its name, or by what its script calls."""
        name = words[0].decode().upper()
        if self.command == "*":
            return name not in _HANDSHAKE
        return name == self.command or self.command in _script(words)


class RedisProxy(RefusingProxy[Refusal]):
    """``refused``: (name of the command; first word of the error).

    A script counts as ``EVAL`` and, for each command that it calls, as ``EVAL XADD`` and so on.
    """

    def __init__(self, url: str) -> None:
        """``url``: of the real server, by TCP or by its socket."""
        super().__init__()
        self._real = urlsplit(url)
        query = parse_qs(self._real.query)
        self._database = (query.get("db") or [self._real.path.strip("/") or "0"])[0]

    @property
    def url(self) -> str:
        """Where the same database is, behind this proxy."""
        password = f":{self._real.password}@" if self._real.password else ""
        database = self._database if self._real.scheme == "unix" else self._real.path.strip("/")
        return f"redis://{password}127.0.0.1:{self.port}/{database or 0}"

    def refusing(self, command: str, error: str) -> AbstractContextManager[Refusal]:
        """Refuse a command for the length of a block."""
        return self.during(Refusal(command, error))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the real server."""
        if self._real.scheme == "unix":
            return await asyncio.open_unix_connection(self._real.path)
        return await asyncio.open_connection(self._real.hostname, self._real.port or 6379)

    async def serve(self, client: End, server: End) -> None:
        """Pass on one client's commands, and the replies to them."""
        await _Session(self, client, server).run()

    def refusal_of(self, words: list[bytes]) -> Refusal | None:
        """Why a command does not reach the server, if it does not; counts it."""
        for refusal in self.refusals:
            if refusal.covers(words):
                refusal.said += 1
                for name in _names(words):
                    self.refused[name, refusal.error.partition(" ")[0]] += 1
                return refusal
        return None


class _Session:
    """One client's connection, and the one to the server that belongs to it."""

    def __init__(self, proxy: RedisProxy, client: End, server: End) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._spoiled = False  # a command of the transaction that is being queued was refused

    async def run(self) -> None:
        """Until one of the two sides hangs up."""
        while True:
            message = await _read(self._client.reader)
            words = _words(message)
            name = words[0].decode().upper()
            refusal = self._proxy.refusal_of(words)
            if refusal is not None:
                self._spoiled = True
                self._client.writer.write(b"-%b\r\n" % refusal.error.encode())
                continue
            if name == "MULTI":
                self._spoiled = False
            if name == "EXEC" and self._spoiled:
                await self._ask(b"*1\r\n$7\r\nDISCARD\r\n")
                spoiled = b"-EXECABORT Transaction discarded because of errors.\r\n"
                self._client.writer.write(spoiled)
                continue
            if name in _SUBSCRIBES:
                self._server.writer.write(message)
                await until_one_ends(
                    self._client.copy_to(self._server), self._server.copy_to(self._client)
                )
                return
            await self._client.send(await self._ask(message))

    async def _ask(self, message: bytes) -> bytes:
        await self._server.send(message)
        return await _read(self._server.reader)


async def _read(source: asyncio.StreamReader) -> bytes:
    """One value of RESP2, as it came."""
    line = await source.readuntil(b"\r\n")
    kind, length = line[:1], line[1:-2]
    if kind == b"$" and int(length) >= 0:
        return line + await source.readexactly(int(length) + 2)
    if kind == b"*":
        return line + b"".join([await _read(source) for _ in range(max(0, int(length)))])
    return line


def _names(words: list[bytes]) -> set[str]:
    """What a command is: its name, and ``EVAL`` with the names of those that its script calls."""
    name = words[0].decode().upper()
    called = _CALLED.findall(_script(words))
    return {name, *(f"EVAL {one}" for one in called)}


def _script(words: list[bytes]) -> str:
    """What a script does that is sent, or named by its hash; empty for another command."""
    name = words[0].decode().upper()
    if name == "EVAL":
        return _code(words[1].decode())
    return _CODES.get(words[1].decode(), "") if name == "EVALSHA" else ""


def _code(script: str) -> str:
    """A script without its comments."""
    return "\n".join(line for line in script.splitlines() if not line.startswith("--"))


_CODES = {script.sha: _code(script.text) for script in SCRIPTS.values()}


def _words(message: bytes) -> list[bytes]:
    """The words of a command: an array of bulk strings."""
    words, rest = [], message.split(b"\r\n", 1)[1]
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length[1:])
        words.append(rest[:size])
        rest = rest[size + 2 :]
    return words
