"""What the machine, or the container that we are in, lets a process have. Only read, never set.

A container's limits are its control group's, and those of each group above it (cgroups(7));
``/proc`` shows the whole machine's even there. ``/proc/self/cgroup`` says where we are:
``0::/path`` in version 2, ``4:memory:/path`` in version 1, whose controllers have a directory each.
In a container the path may be the host's while the files stand at the top: what is not there
limits nothing.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")

_UNLIMITED_BYTES = 1 << 60
"""Version 1 says a number like this for "no limit"; version 2 says ``max``."""

_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of version 2 and of version 1: the limit, what is used, and what of that the kernel can drop."""


def memory_bytes(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Return the memory that this process may take: its groups' least limit, or all there is."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(limit for limit, _ in _memory_limits(proc, groups))])


def memory_left_bytes(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Return the memory that may be taken yet: what is available, or left of the tightest group."""
    left = [max(0, limit - used) for limit, used in _memory_limits(proc, groups)]
    return min([_memory_available(proc), *left])


def cores(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Count cores that we may use: by affinity and by quota of time; a part of one counts whole."""
    allowed = len(os.sched_getaffinity(0))
    quotas = [math.ceil(quota) for quota in _cpu_quotas(proc, groups)]
    return max(1, min([allowed, *quotas]))


def memory_kills(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Count processes that the kernel has ended for want of memory, in our group and since it is.

    Where no group counts them, on the whole machine.
    """
    for group in _groups_of_ours(proc, groups, "memory"):
        for events in (group / "memory.events", group / "memory.oom_control"):
            if _lines(events):  # the other version's is not there
                return _statistic(events, "oom_kill")
    return _statistic(proc / "vmstat", "oom_kill")


def _memory_available(proc: Path) -> int:
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _memory_limits(proc: Path, groups: Path) -> Iterator[tuple[int, int]]:
    """Yield each limiting group's limit and what it uses; pages that it can drop are free."""
    for group in _groups_of_ours(proc, groups, "memory"):
        for limit_file, used_file, droppable in _MEMORY_FILES:
            limit = _number(group / limit_file)
            if limit is not None and limit < _UNLIMITED_BYTES:
                used = _number(group / used_file) or 0
                yield limit, max(0, used - _statistic(group / "memory.stat", droppable))


def _cpu_quotas(proc: Path, groups: Path) -> Iterator[float]:
    for group in _groups_of_ours(proc, groups, "cpu"):
        for line in _lines(group / "cpu.max"):  # version 2
            quota, period = line.split()
            if quota != "max":
                yield int(quota) / int(period)
        quota_us, period_us = (_number(group / f"cpu.cfs_{of}_us") for of in ("quota", "period"))
        if quota_us is not None and period_us and quota_us > 0:  # version 1; -1: no limit
            yield quota_us / period_us


def _groups_of_ours(proc: Path, groups: Path, controller: str) -> Iterator[Path]:
    """Our group of a controller and those above it, as far as they are to be seen from here."""
    for line in _lines(proc / "self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top = groups
        elif controller in controllers.split(","):
            top = groups / controller
        else:
            continue
        inside = Path(path.lstrip("/"))
        within = [part for part in (inside, *inside.parents) if ".." not in part.parts]
        yield from (top / part for part in within if (top / part).is_dir())


def _number(file: Path) -> int | None:
    """Read the number in a file; None where there is no file, or none in it (``max``)."""
    with suppress(ValueError, IndexError):
        return int(_lines(file)[0])
    return None


def _statistic(file: Path, name: str) -> int:
    return next((int(line.split()[1]) for line in _lines(file) if line.startswith(f"{name} ")), 0)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
