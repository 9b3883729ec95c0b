"""Scores a suspect in a process of its own, so that a payload that ends a process ends only that.

When the scoring process alone dies, by a signal, its watchdog or its limit of memory, while its
worker lives, the payload did it: what kills workers from outside (a node, a pod, a release, a pod's
limit of memory) ends both, and then nothing is left that could report it. All of the scoring step
happens there: the request, and what we do with the reply.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.line.scoring import CrashedError, NotIsolatedError, Score
from shortlist.runtime import machine
from shortlist.urls import DatabaseUrl, RedisUrl
from shortlist.worker.isolation import answers, fork_server

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from typing import BinaryIO

    from shortlist.settings import WorkerSettings

log = structlog.get_logger(__name__)

_MOST_SIDE_BY_SIDE = 64
_BYTES_EACH = 64 << 20
"""Of the memory that the worker may take: four times what an ordinary score needs in a process
that shares most of it with the fork server."""

_LONGEST_ANSWER_BYTES = 1 << 20

_LONGEST_START_SECONDS = 30.0
"""Of the fork server: it takes 2.5 CPU seconds with the Claude scorer, on a machine that may be ten
times as busy."""

_PASSWORDS = frozenset({"DATABASE_URL", "OWNER_DATABASE_URL", "READER_DATABASE_URL", "REDIS_URL"})
"""Variables that a process which only scores has no use for."""


def most_side_by_side() -> int:
    """Return how many suspects one worker may score at once."""
    return max(1, min(_MOST_SIDE_BY_SIDE, machine.memory_bytes() // _BYTES_EACH))


class IsolatedScorer:
    """Scores as the settings say, each time in another process; see `domain.scoring.Scorer`."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Nothing is started before the first score."""
        self.name: str = settings.scorer
        self._settings = settings.model_copy(
            update={"database_url": DatabaseUrl(""), "redis_url": RedisUrl("")}
        )
        self._starting = asyncio.Lock()
        self._server: Process | None = None
        self._control: socket.socket | None = None

    async def start(self) -> None:
        """Have the fork server started, so that no score has to wait for it.

        Where it cannot be started, the score that follows says so.
        """
        async with self._starting:
            if self._control is None or _is_left(self._control):
                await self._forget()
                try:
                    await self._start()
                except OSError as error:
                    await self._log_and_forget(error)

    async def score(self, payload: str) -> Score:
        """Score one payload; cancelled, it ends the process.

        Raises:
            CrashedError: the payload ended the process that scored it.
            NotIsolatedError: no process scored it, or how that ended is not known.
            ScoringError: any other, as the scorer itself raised it.
        """
        reading, writing = os.pipe()
        pipe = os.fdopen(reading, "rb", buffering=0)
        try:
            with os.fdopen(writing, "wb", buffering=0), _file_of(payload) as file:
                await self._hand_over([file.fileno(), writing])
        except BaseException:
            pipe.close()
            raise
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            return _decoded(await _read(reader))
        finally:
            transport.close()

    async def close(self) -> None:
        """End the fork server, and with it what it forked."""
        await self._forget()

    async def _hand_over(self, descriptors: list[int]) -> None:
        """Have a process forked for them; the server may have ended since the last one."""
        async with self._starting:
            for _ in range(2):
                try:
                    control = self._control or await self._start()
                    socket.send_fds(control, [b"+"], descriptors)
                except OSError as error:
                    await self._log_and_forget(error)
                else:
                    return
        raise NotIsolatedError("no process can be started for a suspect")

    async def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(0)
        with theirs:
            self._control = ours
            self._server = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", fork_server.__name__, str(theirs.fileno())),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env={k: v for k, v in os.environ.items() if k.upper() not in _PASSWORDS},
            )
        assert self._server.stdin is not None
        self._server.stdin.write(pickle.dumps(self._settings))
        self._server.stdin.close()
        async with asyncio.timeout(_LONGEST_START_SECONDS):
            word = await asyncio.get_running_loop().sock_recv(ours, len(fork_server.STARTED))
        if word != fork_server.STARTED:
            raise ConnectionAbortedError("the fork server ended while it started")
        return ours

    async def _log_and_forget(self, error: OSError) -> None:
        log.info("no_fork_server", error=repr(error))
        await self._forget()

    async def _forget(self) -> None:
        server, self._server = self._server, None
        if self._control is not None:
            self._control.close()
            self._control = None
        if server is not None:
            with suppress(ProcessLookupError):
                server.kill()
            await server.wait()


def _is_left(control: socket.socket) -> bool:
    """Tell whether the fork server has ended: it does when it was idle."""
    try:
        return not control.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _file_of(payload: str) -> BinaryIO:
    """Make a file that lives in memory, at its beginning."""
    file = os.fdopen(os.memfd_create("payload"), "w+b", buffering=0)
    file.write(payload.encode())
    file.seek(0)
    return file


async def _read(reader: asyncio.StreamReader) -> bytes:
    encoded = bytearray()
    while chunk := await reader.read(1 << 16):
        encoded += chunk
        if len(encoded) > _LONGEST_ANSWER_BYTES:
            raise CrashedError(f"answered with more than {_LONGEST_ANSWER_BYTES} bytes")
    return bytes(encoded)


def _decoded(encoded: bytes) -> Score:
    answer, mark, code = encoded.rpartition(fork_server.END_MARK)
    if not mark:
        raise NotIsolatedError("it is not known how the scoring process ended")
    if int(code):
        raise CrashedError(how_it_ended(int(code)))
    return answers.decoded(answer)


def how_it_ended(code: int) -> str:
    """Describe an exit code, or minus a signal's number, in words."""
    if code == fork_server.EXIT_HUNG:
        return "it hung"
    if code == fork_server.EXIT_OUT_OF_MEMORY:
        return f"it needed more than {fork_server.memory_bytes() >> 20} MiB of memory"
    if code > 0:
        return f"it ended with code {code}"
    with suppress(ValueError):
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it was ended by signal {-code}"
