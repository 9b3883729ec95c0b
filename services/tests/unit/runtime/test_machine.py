"""Limits as the kernel writes them down, of both versions of control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shortlist.http.budget import LEAST_BYTES, MOST_BYTES, share_of
from shortlist.runtime import machine
from testkit.processes.pod import pod

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MIB, GIB = 2**20, 2**30
UNLIMITED_V1 = "9223372036854771712\n"
V2, V1 = "0::/kubepods/pod/box\n", "5:cpu,memory:/docker/box\n0::/\n"


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def written(directory: Path, groups: str, files: Mapping[str, str]) -> tuple[Path, Path]:
    """A machine with 16 GiB available, in these groups, whose files are these: its two trees."""
    proc, top = directory / "proc", directory / "cgroup"
    contents = {
        proc / "meminfo": "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\n",
        proc / "self/cgroup": groups,
        **{top / name: text for name, text in files.items()},
    }
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc, top


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        (V2, {"kubepods/pod/box/memory.max": "536870912\n"}, 512 * MIB),
        (V2, {"kubepods/pod/box/memory.max": "max\n", "kubepods/memory.max": "104857600\n"},
         100 * MIB),
        (V2, {"kubepods/pod/box/memory.max": "536870912", "kubepods/memory.max": "max"}, 512 * MIB),
        (V2, {"kubepods/pod/box/memory.max": "536870912", "memory.max": "104857600"}, 100 * MIB),
        ("0::/\n", {"memory.max": "536870912"}, 512 * MIB),  # a namespace of its own
        ("0::/../../pod/box\n", {"memory.max": "536870912"}, 512 * MIB),  # entered from outside
        ("0::/kubepods/none/such\n", {"memory.max": "536870912"}, 512 * MIB),  # the host's path
        (V1, {"memory/docker/box/memory.limit_in_bytes": "536870912\n"}, 512 * MIB),
        (V1, {"memory/memory.limit_in_bytes": "104857600"}, 100 * MIB),  # the path is the host's
        (V1, {"memory/docker/box/memory.limit_in_bytes": UNLIMITED_V1}, None),
        (V2, {"kubepods/pod/box/memory.max": "max"}, None),
        ("0::/\n", {}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_the_least_limit_counts(
    tmp_path: Path, groups: str, files: Mapping[str, str], limit: int | None
) -> None:
    found = machine.memory_bytes(*written(tmp_path, groups, files))
    nothing = tmp_path / "nothing"
    assert found == (limit or machine.memory_bytes(nothing, nothing))


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
    assert machine.memory_left_bytes(*written(tmp_path, groups, files)) == gib * GIB


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 8),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 8),
        ("0::/a\n", {"a/cpu.max": "150000 100000\n"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "10000 100000\n"}, 1),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "400000 100000\n"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 50000\n", "a/cpu.max": "700000 100000\n"}, 4),
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
    assert machine.cores(*written(tmp_path, groups, files)) == cores


def test_a_process_finds_the_limit_of_a_real_group() -> None:
    """Of whichever version this machine has."""
    limit_bytes = 256 * MIB
    with pod(limit_bytes) as its_pod:
        if its_pod.cgroup is None:
            pytest.skip("no group can be made here")
        told = subprocess.run(
            [
                sys.executable,
                "-c",
                "from shortlist.runtime import machine; print(machine.memory_bytes())",
            ],
            preexec_fn=its_pod.enter,
            capture_output=True,
            check=True,
        )
    assert int(told.stdout) == limit_bytes


def test_off_switch_without_a_group_there_is_more() -> None:
    assert machine.memory_bytes() > 256 * MIB


def test_half_of_a_pod_is_for_clients_within_reason() -> None:
    assert share_of(512 * MIB) == 256 * MIB
    assert share_of(1 << 40) == MOST_BYTES
    assert share_of(1 * MIB) == LEAST_BYTES


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/a\n", {"cgroup/a/memory.events": "low 0\noom 9\noom_kill 3\n"}),
        (
            "4:memory:/x\n1:cpu:/\n0::/\n",
            {"cgroup/memory/x/memory.oom_control": "under_oom 0\noom_kill 3\n"},
        ),
        ("0::/\n", {"proc/vmstat": "pgfault 7\noom_kill 3\n"}),
    ],
)
def test_the_kernels_count_of_ends_for_want_of_memory(
    tmp_path: Path, groups: str, files: Mapping[str, str]
) -> None:
    for name, text in {"proc/self/cgroup": groups, "cgroup/cgroup.procs": "", **files}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.memory_kills(tmp_path / "proc", tmp_path / "cgroup") == 3


def test_where_the_kernel_counts_nothing_there_were_none(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("")
    assert machine.memory_kills(tmp_path, tmp_path) == 0
