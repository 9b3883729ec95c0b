"""Limits as the kernel writes them down, of both versions of control groups."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from shortlist.embedded import machine
from shortlist.embedded.machine import FEWEST_CONNECTIONS, MOST_CONNECTIONS, Machine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GIB = 2**30
UNLIMITED_V1 = "9223372036854771712\n"


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def looked_at(directory: Path, files: Mapping[str, str], groups: str) -> Machine:
    """A machine with 16 GiB available, in these groups, whose files are these."""
    proc, top = directory / "proc", directory / "cgroup"
    contents = {
        proc / "meminfo": "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\n",
        proc / "self/cgroup": groups,
        **{top / name: text for name, text in files.items()},
    }
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return machine.look(proc, top)


@pytest.mark.parametrize(
    ("groups", "files", "gib"),
    [
        ("0::/\n", {}, 16),
        ("", {}, 16),
        ("0::/a\n", {"a/memory.max": "max\n", "a/memory.current": "5\n"}, 16),
        (
            "0::/\n",  # a container with a view of its own
            {"memory.max": f"{2 * GIB}\n", "memory.current": f"{GIB}\n", "memory.stat": ""},
            1,
        ),
        (
            "0::/a/b\n",  # the group above limits as well; file pages can be dropped
            {
                "a/b/memory.max": "max\n",
                "a/memory.max": f"{4 * GIB}\n",
                "a/memory.current": f"{3 * GIB}\n",
                "a/memory.stat": f"anon 5\ninactive_file {GIB}\n",
            },
            2,
        ),
        (
            "4:memory:/x\n1:cpu:/\n0::/\n",
            {
                "memory/x/memory.limit_in_bytes": f"{2 * GIB}\n",
                "memory/x/memory.usage_in_bytes": f"{2 * GIB}\n",
                "memory/x/memory.stat": f"total_inactive_file {GIB}\n",
                "memory/memory.limit_in_bytes": UNLIMITED_V1,
                "memory/memory.usage_in_bytes": "0\n",
                "memory/memory.stat": "",
            },
            1,
        ),
        (
            "4:memory:/docker/abc\n",  # the path is not to be seen in here, the limit is
            {
                "memory/memory.limit_in_bytes": f"{3 * GIB}\n",
                "memory/memory.usage_in_bytes": "0\n",
                "memory/memory.stat": "",
            },
            3,
        ),
    ],
)
def test_memory_is_what_the_tightest_limit_leaves(
    tmp_path: Path, groups: str, files: Mapping[str, str], gib: int
) -> None:
    assert looked_at(tmp_path, files, groups).memory_bytes == gib * GIB


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 8),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 8),
        ("0::/a\n", {"a/cpu.max": "150000 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "10000 100000\n"}, 1),
        (
            "1:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "300000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        ("1:cpu:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1\n"}, 8),
    ],
)
def test_cores_are_what_the_quota_leaves(
    tmp_path: Path, groups: str, files: Mapping[str, str], cores: int
) -> None:
    for directory in ("a/b", "cpu/x"):
        (tmp_path / "cgroup" / directory).mkdir(parents=True)
    assert looked_at(tmp_path, files, groups).cores == cores


@pytest.mark.parametrize(
    ("gib", "connections"), [(0.5, FEWEST_CONNECTIONS), (4, 204), (64, MOST_CONNECTIONS)]
)
def test_connections_grow_with_the_memory_within_bounds(gib: float, connections: int) -> None:
    assert Machine(1, int(gib * GIB), 1).postgres_connections == connections


def test_this_machine_has_something_for_us() -> None:
    found = machine.look()
    assert found.cores >= 1
    assert found.memory_bytes > 0
    assert found.workers_in_memory >= 1
