"""Keeps the children's logs within bounds: they are open for appending, so cutting is safe."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_BYTES = 10 * 2**20
"""Of one log; as much again is kept of what came before."""


def bound(directory: Path, *, keep: bool = True) -> None:
    """Cut each log over the limit; keep what was in it, unless there is no room. Blocks."""
    for log in directory.glob("*.log"):
        with suppress(OSError):
            if log.stat().st_size > LIMIT_BYTES:
                _cut(log, keep=keep)


def _cut(log: Path, *, keep: bool) -> None:
    before = log.with_suffix(".log.1")
    try:
        if keep:
            shutil.copyfile(log, before)
    finally:
        with log.open("r+b") as output:
            output.truncate(0)
