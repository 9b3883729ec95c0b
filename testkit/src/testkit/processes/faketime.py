"""Clocks that a test may set while the processes that read them run (libfaketime, preloaded).

Monotonic clocks stay as they are, as they do when a machine's clock is set.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACES = ("lib/*/faketime", "lib*/faketime")
"""Within ``/usr``: Debian's and Ubuntu's package ``libfaketime``; Fedora's and others'."""


def library() -> str:
    """Where libfaketime is; without it the tests of clocks cannot be run, and fail."""
    found = [f for place in PLACES for f in Path("/usr").glob(f"{place}/libfaketime.so.1")]
    assert found, "libfaketime is not installed: apt-get install libfaketime"
    return str(found[0])


@dataclass(frozen=True)
class Clock:
    """The clock of the processes that are started with its variables."""

    file: Path

    @classmethod
    def right(cls, file: Path) -> Clock:
        """A clock that shows the true time until it is set."""
        clock = cls(file)
        clock.set(0)
        return clock

    def set(self, ahead_seconds: int) -> None:
        """From now on it is ahead of the true time by so much."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{ahead_seconds:+d}\n", encoding="utf-8")
        new.replace(self.file)  # a reader finds the old text or the new one

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to live by this clock."""
        return {
            "LD_PRELOAD": library(),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    @contextmanager
    def lived_by(self) -> Iterator[None]:
        """Whatever this process starts within the block lives by this clock, itself not."""
        before = dict(os.environ)
        os.environ.update(self.variables)
        try:
            yield
        finally:
            for name in self.variables:
                os.environ.pop(name)
            os.environ.update(before)
