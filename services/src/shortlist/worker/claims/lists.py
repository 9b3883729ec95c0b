"""Makes the lists by which Postgres knows what this worker holds (`perWrite`).

A worker's lease says that it lives, and not what it is at. So with each renewal it sends a list of
the applications that it works on, and the lists are numbered. An attempt keeps how many lists its
worker had made when it asked for the claim. An application is in work before its claim is asked for
and until its attempt has ended; so every later list has it for as long as it is held, and an
attempt that a later list lacks is held no more, and never again. That is true of each list by
itself, however late it arrives and in whichever order: no clock is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage.postgres.queries.workers import HeldList

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from shortlist.domain.line.application import ApplicationId


class HeldLists:
    """Numbers the lists of what one worker holds."""

    def __init__(self, in_work: Callable[[], Collection[ApplicationId]]) -> None:
        """``in_work``: what it works on now; from before a claim until its attempt has ended."""
        self.in_work = in_work
        self.made = 0
        """How many lists were made. A claim is asked for with this number, read while in work."""

    def make(self) -> HeldList:
        """Make the next list. Nothing is awaited: the number and the list are of one moment."""
        self.made += 1
        return HeldList(self.made, list(self.in_work()))
