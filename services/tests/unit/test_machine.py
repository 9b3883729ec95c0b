from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist import machine
from shortlist.http.budget import LEAST_BYTES, MOST_BYTES, share_of

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
V2, V1 = "0::/kubepods/pod/box", "5:cpu,memory:/docker/box\n0::/"


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        (V2, {"kubepods/pod/box/memory.max": "536870912\n"}, 512 * MIB),
        (V2, {"kubepods/pod/box/memory.max": "max", "kubepods/memory.max": "104857600"}, 100 * MIB),
        (V2, {"kubepods/pod/box/memory.max": "536870912", "kubepods/memory.max": "max"}, 512 * MIB),
        ("0::/", {"memory.max": "536870912"}, 512 * MIB),  # a namespace of its own
        (V1, {"memory/docker/box/memory.limit_in_bytes": "536870912"}, 512 * MIB),
        (V1, {"memory/memory.limit_in_bytes": "104857600"}, 100 * MIB),  # the path is the host's
        (V1, {"memory/docker/box/memory.limit_in_bytes": "9223372036854771712"}, None),
        (V2, {"kubepods/pod/box/memory.max": "max"}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_the_least_limit_counts(
    tmp_path: Path, own: str, files: dict[str, str], limit: int | None
) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = machine.memory_bytes(tmp_path / "cgroup", tmp_path / "own")
    everything = machine.memory_bytes(tmp_path / "nothing", tmp_path / "nothing")
    assert found == (limit or everything)


def test_half_of_a_pod_is_for_clients_within_reason() -> None:
    assert share_of(512 * MIB) == 256 * MIB
    assert share_of(1 << 40) == MOST_BYTES
    assert share_of(1 * MIB) == LEAST_BYTES
