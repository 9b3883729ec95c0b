"""The time in which a worker scores one suspect and nothing else.

What kills its worker must take nothing along, and the worker's death must convict exactly one: see
`shortlist.domain.line.suspicion`. A worker that was given a suspect takes nothing more, lets what
it holds end, and scores the suspect alone. Afterwards it serves the others for as long as that
took, so that suspects never get more than half of a worker while anything else waits.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shortlist.worker.state import WorkerState

_LONGEST_REST_SECONDS = 60.0


class Solitude:
    """Reserves one worker for one suspect."""

    def __init__(self, state: WorkerState) -> None:
        """``state`` tells the puller."""
        self._state = state
        self._rest_until = 0.0

    @property
    def is_reserved(self) -> bool:
        """Whether a suspect waits to be alone, or is."""
        return self._state.alone

    def may_begin(self, *, others: int) -> bool:
        """Tell whether a suspect may have this worker now, which works on so many ``others``."""
        rested = not others or time.monotonic() >= self._rest_until
        return rested and not self.is_reserved

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Take nothing else within this block."""
        begin = time.monotonic()
        self._state.alone = True
        try:
            yield
        finally:
            self._state.alone = False
            now = time.monotonic()
            self._rest_until = now + min(_LONGEST_REST_SECONDS, now - begin)
