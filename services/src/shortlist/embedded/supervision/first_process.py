"""`shortlist up` as the first process of a container, which has duties that others have not.

Whatever loses its parent becomes the first process's child, and stays a zombie until that one asks
for its end; and a signal that the first process does not handle does nothing. So it stands aside:
the work is done by a child, and what is left here passes signals on and buries the dead.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)


def stand_aside() -> None:
    """Return in a child when this is the first process, at once when it is not.

    Call it before there are threads or an event loop. The first process ends as the child did.
    """
    if os.getpid() != 1:
        return
    child = os.fork()
    if child == 0:
        return
    for number in _PASSED_ON:
        signal.signal(number, _to(child))
    os._exit(_bury_until(child))


def _to(child: int) -> Callable[[int, FrameType | None], None]:
    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    return pass_on


def _bury_until(child: int) -> int:
    """Wait for whatever ends; the exit code of the child, once that one is it."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
