"""What every process does around its work: logs, traces, signals, and how it ends.

The first SIGTERM or SIGINT asks it to drain, the second to end at once. However it ends, the log
says why in one line: a process that is started again and again is understood from its last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import structlog

from shortlist.domain.errors import ShortlistError
from shortlist.runtime import exit_codes, tasks
from shortlist.settings import BadSettingsError, CommonSettings
from shortlist.settings.retired import retired
from shortlist.telemetry import logs, traces

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

AnySettings = TypeVar("AnySettings", bound=CommonSettings)

_TIDY_UP_SECONDS = 10.0
"""What a process opened is closed within time-outs of a second or two each, however busy it is."""

_log = structlog.get_logger(__name__)


class CannotStartError(ShortlistError):
    """A process cannot do its work here; it ends with one log line that says why."""

    event: ClassVar[str]
    """The log line's."""

    def __init__(self, reason: str, **fields: object) -> None:
        """``fields`` are the log line's, beside ``reason``, which is its ``error``."""
        super().__init__(reason)
        self.fields = fields


class Stopping:
    """What a process was asked: to drain, and then to end at once."""

    def __init__(self, one_press_seconds: float = 0.0) -> None:
        """``one_press_seconds``: a request so soon after the first one is the same request."""
        self.drain, self.at_once = asyncio.Event(), asyncio.Event()
        self._one_press_seconds = one_press_seconds
        self._asked_at = 0.0
        self._signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)

    @contextlib.contextmanager
    def listening(self, *more: signal.Signals) -> Iterator[Self]:
        """Take SIGTERM, SIGINT and ``more`` for requests, for the length of the block."""
        self._signals += more
        self.listen()
        try:
            yield self
        finally:
            for number in self._signals:
                asyncio.get_running_loop().remove_signal_handler(number)

    def listen(self) -> None:
        """Take the signals; again, when a library has taken them for itself."""
        for number in self._signals:
            asyncio.get_running_loop().add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """Drain; asked again, end at once."""
        now = time.monotonic()
        if not self.drain.is_set():
            self._asked_at = now
            self.drain.set()
        elif now - self._asked_at >= self._one_press_seconds:
            self.at_once.set()


async def run(
    name: str,
    settings: AnySettings,
    work: Callable[[AnySettings, Stopping], Coroutine[Any, Any, None]],
    *,
    is_traced: bool = False,
) -> int:
    """Run a process's work to its end; returns the exit code (`exit_codes`).

    Args:
        name: ``process`` in each log line, and the service's name in traces.
        settings: say how to log.
        work: ends soon after ``stopping.drain`` is set. It is cancelled when the process is asked
            to end at once, and closes what it has opened in either case.
        is_traced: whether it records spans.
    """
    logs.configure(settings, name)
    for variable, why in retired().items():
        _log.warning("retired_setting", variable=variable, why=why)
    stop_tracing = traces.configure(settings, name) if is_traced else None
    with Stopping().listening() as stopping:
        code = await _exit_code(work(settings, stopping), stopping)
        await tasks.end_all_others()
        if stop_tracing is not None:
            stop_tracing()  # it blocks, and nothing else runs any more
    return code


async def _exit_code(work: Coroutine[Any, Any, None], stopping: Stopping) -> int:
    try:
        finished = await finishes(work, stopping)
    except CannotStartError as error:
        _log.critical(error.event, error=str(error), **error.fields)
    except BadSettingsError as error:
        sys.stderr.write(f"shortlist: {error}\n")
        return exit_codes.USAGE
    except Exception:
        _log.critical("crashed", exc_info=True)
    else:
        return exit_codes.DONE if finished else exit_codes.FAILED
    return exit_codes.FAILED


async def finishes(work: Coroutine[Any, Any, None], stopping: Stopping) -> bool:
    """Wait until work ends; cancel it when asked to end at once. Says whether it ended by itself.

    Raises what ended it.
    """
    working = asyncio.create_task(work, name="work")
    hurry = asyncio.create_task(stopping.at_once.wait(), name="hurry")
    try:
        await asyncio.wait({working, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        _log.warning("stopped_at_once")
        return False
    finally:
        await tasks.end([working, hurry], again_seconds=_TIDY_UP_SECONDS)
