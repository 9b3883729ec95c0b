"""A proxy in front of Postgres that has the server itself refuse chosen statements.

``async with PostgresProxy(url) as proxy`` and give ``proxy.url`` to a process under test. Then
``with proxy.refusing("claims.complete", "53100")`` the statement of that name (in `SQL`, or else
any that holds that text) is not run. In its place Postgres runs a block that raises the SQLSTATE:
so the error, the state of the transaction and what follows are the server's own. Several SQLSTATEs
are raised in turn. ``proxy.refused`` counts them: a test that meets no error proves nothing.

It speaks version 3 of the frontend/backend protocol (PostgreSQL's manual, chapter 55), reads what
clients send, and passes on what the server answers as it is.
"""

from __future__ import annotations

import asyncio
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from shortlist.storage.postgres.statements import SQL
from testkit.proxies.refusing import End, RefusingProxy, until_one_ends

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

SERVERS = ("08006", "25006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "XX000")
"""SQLSTATEs that are the server's trouble: the step is done again."""

EVERYONES = ("42501", "42P01")
"""Those that would meet every step: it is done again, more slowly."""

SILENCE_SECONDS = 0.2
"""Less is none: ingest has Postgres begin no insert that is left less than a sixth of 1.5 s."""

_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102


@dataclass
class Refusal:
    """What is refused: ``step`` is a name of `SQL`, or a part of a statement's text."""

    step: str
    sqlstates: tuple[str, ...]
    times: int | None = None
    """How often; None: until the block ends."""
    text: str = field(init=False)
    said: int = 0
    """How often it was refused."""

    def __post_init__(self) -> None:
        """Find the statement's text."""
        assert self.step in SQL or " " in self.step, f"{self.step} is the name of no statement"
        self.text = _flat(SQL[self.step].text if self.step in SQL else self.step)

    @property
    def is_over(self) -> bool:
        """Whether it was refused as often as it was to be."""
        return self.times is not None and self.said >= self.times

    def next_state(self) -> str:
        """The SQLSTATE to raise now."""
        self.said += 1
        return self.sqlstates[(self.said - 1) % len(self.sqlstates)]


@dataclass
class Cut:
    """A connection is cut, once, at a statement: before the server has it, or after it answered."""

    text: str
    after: bool
    is_done: bool = False


class PostgresProxy(RefusingProxy[Refusal]):
    """``refused``: (step, SQLSTATE) → how often Postgres raised it here."""

    def __init__(self, url: str) -> None:
        """``url``: of the real server, by TCP or by the folder of its socket."""
        super().__init__()
        self._real = urlsplit(url)
        query = parse_qs(self._real.query)
        self._socket_folder = next(iter(query.get("host", [])), None)
        self._real_port = self._real.port or int((query.get("port") or ["5432"])[0])
        self.cut: Cut | None = None
        """Where the next connection is cut that sends a certain statement."""
        self.delay_seconds = 0.0
        """How long each answer of the server takes on its way."""
        self.unanswered: list[bytes] = []
        """What clients gave up that the server had been silent on for `SILENCE_SECONDS`."""

    def was_silent_on(self, text: str) -> bool:
        """Tell if a client gave up a statement with this text in an array, on a silent server."""
        element = struct.pack("!i", len(text.encode())) + text.encode()
        return any(element in asked for asked in self.unanswered)

    @property
    def url(self) -> str:
        """Where the same database is, behind this proxy."""
        login = f"{self._real.username or 'postgres'}"
        if self._real.password:
            login += f":{self._real.password}"
        return f"postgresql://{login}@127.0.0.1:{self.port}{self._real.path}?sslmode=disable"

    def refusing(
        self, step: str, *sqlstates: str, times: int | None = None
    ) -> AbstractContextManager[Refusal]:
        """Refuse a statement for the length of a block, or so many times in it."""
        return self.during(Refusal(step, sqlstates, times))

    def state_for(self, statement: str) -> str | None:
        """The SQLSTATE that a statement is refused with, if it is; counts it."""
        flat = _flat(statement)
        for refusal in self.refusals:
            if refusal.text in flat and not refusal.is_over:
                state = refusal.next_state()
                self.refused[refusal.step, state] += 1
                return state
        return None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the real server."""
        if self._socket_folder is None:
            return await asyncio.open_connection(self._real.hostname, self._real_port)
        path = f"{self._socket_folder}/.s.PGSQL.{self._real_port}"
        return await asyncio.open_unix_connection(path)

    async def serve(self, client: End, server: End) -> None:
        """Pass on one client's messages, and what the server answers."""
        await _Session(self, client, server).run()


class _Session:
    """One client's connection, and the one to the server that belongs to it."""

    def __init__(self, proxy: PostgresProxy, client: End, server: End) -> None:
        self._proxy = proxy
        self._client, self._server = client, server
        self._statements: dict[bytes, str] = {}
        self._swallowing = False
        self._cutting = False
        self._asked = b""
        """Since the server's last answer."""
        self._asked_at = 0.0

    async def run(self) -> None:
        """Until one of the two sides hangs up."""
        if await self._start():
            await until_one_ends(self._pass_answers(), self._pass_questions())
            silence = time.monotonic() - self._asked_at
            if self._asked and silence >= SILENCE_SECONDS and not self._server.reader.at_eof():
                self._proxy.unanswered.append(self._asked)

    async def _start(self) -> bool:
        """Pass the start-up on; False for a request to cancel, which ends with it."""
        while True:
            head = await self._client.reader.readexactly(8)
            length, code = struct.unpack("!ii", head)
            body = await self._client.reader.readexactly(length - 8)
            if code in {_SSL_REQUEST, _GSS_REQUEST}:
                self._client.writer.write(b"N")
                continue
            self._server.writer.write(head + body)
            return bool(code != _CANCEL_REQUEST)

    async def _pass_answers(self) -> None:
        while data := await self._server.reader.read(65536):
            if self._cutting:
                return  # it has answered, and no client hears it
            self._asked = b""
            if self._proxy.delay_seconds:
                await asyncio.sleep(self._proxy.delay_seconds)  # a server that is slow
            await self._client.send(data)

    async def _pass_questions(self) -> None:
        while True:
            kind = await self._client.reader.readexactly(1)
            size = await self._client.reader.readexactly(4)
            body = await self._client.reader.readexactly(struct.unpack("!i", size)[0] - 4)
            if self._is_cut(kind, body):
                return
            self._question(kind, kind + size + body, body)
            await self._server.writer.drain()

    def _is_cut(self, kind: bytes, body: bytes) -> bool:
        """Whether the connection is to be cut here, before the server has this message."""
        cut = self._proxy.cut
        if cut is None or cut.is_done or kind != b"Q" or cut.text not in body.decode():
            return False
        cut.is_done = True
        self._cutting = cut.after
        return not cut.after

    def _question(self, kind: bytes, message: bytes, body: bytes) -> None:
        if self._swallowing:  # the rest of what was refused, up to its Sync
            self._swallowing = kind != b"S"
            return
        statement = self._statement(kind, body)
        state = None if statement is None else self._proxy.state_for(statement)
        if state is None:
            self._asked, self._asked_at = self._asked + message, time.monotonic()
            self._server.writer.write(message)
            return
        self._swallowing = kind != b"Q"
        self._server.writer.write(_raising(state))

    def _statement(self, kind: bytes, body: bytes) -> str | None:
        """The text of what this message has the server run."""
        if kind == b"Q":
            return body[:-1].decode()
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._statements[name] = text.decode()
        if kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            return self._statements.get(name, "")
        return None


def _raising(sqlstate: str) -> bytes:
    """A simple query that ends with the error, whatever the session is in the middle of."""
    block = f"DO $$BEGIN RAISE 'made by a test' USING ERRCODE = '{sqlstate}'; END$$"
    body = block.encode() + b"\0"
    return b"Q" + struct.pack("!i", len(body) + 4) + body


def _flat(statement: str) -> str:
    return " ".join(statement.split())
