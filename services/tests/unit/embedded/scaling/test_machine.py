"""What `up` makes of a machine."""

from __future__ import annotations

import pytest

from shortlist.embedded.scaling import machine
from shortlist.embedded.scaling.machine import FEWEST_CONNECTIONS, MOST_CONNECTIONS, Machine

GIB = 2**30


@pytest.mark.parametrize(
    ("gib", "connections"), [(0.5, FEWEST_CONNECTIONS), (4, 204), (64, MOST_CONNECTIONS)]
)
def test_connections_grow_with_the_memory_within_bounds(gib: float, connections: int) -> None:
    assert Machine(1, int(gib * GIB), 1).postgres_connections == connections


def test_this_machine_has_something_for_us() -> None:
    found = machine.read()
    assert found.cores >= 1
    assert found.memory_bytes > 0
    assert found.workers_in_memory >= 1
