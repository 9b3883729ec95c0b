"""What the machine, or the container, lets a process have."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNLIMITED_BYTES = 1 << 60
"""Version 1 says a number like this for "no limit"."""


def memory_bytes(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """The memory that this process may take: its cgroup's limit, or all that there is.

    Of a cgroup and those around it the least counts. ``own`` says where we are (cgroups(7)):
    ``0::/path`` in version 2, ``4:memory:/path`` in version 1. In a container the path may be the
    host's while the files stand at the top: what is not there limits nothing.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [total]
    for line in _lines(own):
        number, controllers, path = line.split(":", 2)
        if number == "0":
            limits += _limits(cgroups, path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits(cgroups / "memory", path, "memory.limit_in_bytes")
    return min(limits)


def _limits(root: Path, path: str, name: str) -> list[int]:
    place = root / path.strip("/")
    places = [place, *place.parents][: len(place.relative_to(root).parts) + 1]
    found = [text for place in places for text in _lines(place / name)]
    return [int(text) for text in found if text.isdigit() and int(text) < _UNLIMITED_BYTES]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
