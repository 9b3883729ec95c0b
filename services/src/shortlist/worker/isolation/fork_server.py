"""Forks a process for each suspect that a worker scores.

The worker itself must not fork: it has connections, and threads. So it starts this program
(``python -m shortlist.worker.isolation.fork_server``) when it meets its first suspect. It imports
the scorer once, and then forks within milliseconds. It has one thread, no connection to any server
and no server's password, and never reads a payload itself: nothing that a payload does ends it.

The worker sends two descriptors for each suspect: a file with the payload, and a pipe. The scoring
process writes its answer to the pipe (`answers`), and this one adds how that process ended. When
the worker closes its end, the scoring process is ended; when the worker dies, all are.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import pickle
import resource
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.runtime import machine
from shortlist.telemetry import logs
from shortlist.worker import watchdog
from shortlist.worker.isolation import answers
from shortlist.worker.scorers import make_scorer

if TYPE_CHECKING:
    from typing import NoReturn

    from shortlist.settings import WorkerSettings

EXIT_HUNG = 1
"""The watchdog's: no other way out of a scoring process has this code."""
EXIT_OUT_OF_MEMORY = 3
EXIT_BROKEN = 4

STARTED = b"!"
"""The fork server's first and only word to its worker: it has imported all that a score needs."""

END_MARK = b"\0"
"""Between the answer, which has no such byte, and how the process ended: an exit code, or minus the
number of the signal."""

_IDLE_SECONDS = 60.0
"""Without anything to do for so long, it ends: its memory serves others."""

_LEAST_MEMORY_BYTES = 128 << 20
_MOST_MEMORY_BYTES = 256 << 20
_MEMORY_SHARE = 4
"""A score takes some 20 MiB. One of four processes that took all that they may, the worker beside
them included, would end by the pod's limit, which would prove nothing."""


def memory_bytes() -> int:
    """Return what one scoring process may take beyond what it begins with."""
    share = machine.memory_bytes() // _MEMORY_SHARE
    return min(_MOST_MEMORY_BYTES, max(_LEAST_MEMORY_BYTES, share))


def main() -> None:
    """Serve the worker that holds the other end of the socket whose number is the argument."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C is for the worker, which drains
    settings = pickle.load(sys.stdin.buffer)  # noqa: S301 (the worker's own words)
    logs.configure(settings, "worker")
    make_scorer(settings)  # so that all it imports is there before the first fork
    gc.freeze()
    control = socket.socket(fileno=int(sys.argv[1]))
    control.send(STARTED)
    ForkServer(control, settings).serve()


class ForkServer:
    """Forks a process for each suspect of one worker."""

    def __init__(self, control: socket.socket, settings: WorkerSettings) -> None:
        """``control`` brings two descriptors with each message of one byte."""
        self._control = control
        self._settings = settings
        self._pipes: dict[int, int] = {}
        """By process: where its end is to be reported."""
        self._woken, self._waker = socket.socketpair()
        self._poll = select.poll()

    def serve(self) -> None:
        """Serve until the worker is gone, or has had nothing to do for a while."""
        self._woken.settimeout(0)
        self._waker.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it has to be handled to wake us
        signal.set_wakeup_fd(self._waker.fileno())
        for listened in (self._control, self._woken):
            self._poll.register(listened, select.POLLIN)
        while self._turn():
            pass
        for process in self._pipes:
            os.kill(process, signal.SIGKILL)

    def _turn(self) -> bool:
        """Tell whether to go on."""
        ready = [number for number, _ in self._poll.poll(_IDLE_SECONDS * 1000)]
        if self._woken.fileno() in ready:
            self._woken.recv(4096)
            self._report_ends()
        for process in [p for p, pipe in self._pipes.items() if pipe in ready]:
            self._poll.unregister(self._pipes[process])
            os.kill(process, signal.SIGKILL)  # the worker does not want to know any more
        if self._control.fileno() in ready:
            return self._accept()
        return bool(ready or self._pipes)

    def _accept(self) -> bool:
        """Fork for one suspect; False when the worker is gone."""
        message, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if not message:
            return False
        payload, pipe = descriptors
        try:
            process = os.fork()
            if process == 0:
                self._become_scoring_process(payload, pipe)
        except OSError:  # too many processes, or too little memory: nothing is told of the payload
            os.close(pipe)
        else:
            self._pipes[process] = pipe
            self._poll.register(pipe, 0)  # POLLERR: the reader has gone
        finally:
            os.close(payload)
        return True

    def _report_ends(self) -> None:
        while self._pipes:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            pipe = self._pipes.pop(process)
            with suppress(KeyError):
                self._poll.unregister(pipe)
            with suppress(OSError):
                os.write(pipe, END_MARK + str(os.waitstatus_to_exitcode(status)).encode())
            os.close(pipe)

    def _become_scoring_process(self, payload: int, pipe: int) -> NoReturn:
        code = EXIT_BROKEN
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._let_go()
            code = _score(payload, pipe, self._settings)
        except MemoryError:
            code = EXIT_OUT_OF_MEMORY
        except BaseException:  # it is not raised into the fork server's frames
            traceback.print_exc()
        finally:
            os._exit(code)

    def _let_go(self) -> None:
        """Close what is the fork server's: a pipe that another one holds does not end."""
        for ours in (self._control, self._woken, self._waker):
            ours.close()
        for pipe in self._pipes.values():
            os.close(pipe)


def _score(payload: int, pipe: int, settings: WorkerSettings) -> int:
    """Score, and write the answer; the exit code."""
    faulthandler.enable()  # where it was when a signal ended it, in the worker's log
    _limit_memory()
    with open(payload, "rb", closefd=False) as file:
        text = file.read().decode()
    answer = asyncio.run(_answer(text, settings))
    with open(pipe, "wb", closefd=False) as out:
        out.write(answer)
    return 0


async def _answer(payload: str, settings: WorkerSettings) -> bytes:
    # Sooner than the worker loses its patience, which says nothing about the payload.
    async with watchdog.ended_when_hanging(settings.score_timeout_seconds / 2):
        await asyncio.sleep(0)  # the watchdog begins with the loop's first turn
        try:
            return answers.of_score(await make_scorer(settings).score(payload))
        except MemoryError:
            raise
        except Exception as error:  # it is told
            return answers.of_error(error)


def _limit_memory() -> None:
    """Have allocations fail before the pod's limit ends the worker, too."""
    with suppress(OSError):  # elsewhere than on Linux
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        limit = pages * resource.getpagesize() + memory_bytes()
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main()
