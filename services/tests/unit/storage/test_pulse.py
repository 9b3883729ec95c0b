from __future__ import annotations

import pytest

from shortlist.storage.redis.heartbeats import Heartbeat, Pulse


def beat(at: float) -> Heartbeat:
    return Heartbeat(
        worker_id="w", at=at, started_at=0, ready_at=0, host="h", pid=1, mode="perJob",
        concurrency=1, in_flight=0, grant=1, open_connections=1, epoch=0, draining=False,
        busy_seconds=0, completed=0, failed=0, retried=0,
    )  # fmt: skip


@pytest.mark.parametrize("step", [0.0, -8_640_000.0, -3600.0, 3600.0, 8_640_000.0])
def test_a_worker_lives_while_its_heartbeat_changes_whatever_time_it_tells(step: float) -> None:
    pulse, told = Pulse(), 1_790_000_000.0 + step
    for second in range(10):
        assert pulse.live([beat(told + second)], 100.0 + second)
    assert pulse.live([beat(told - step)], 110.0)  # its clock was set
    assert pulse.live([beat(told - step)], 115.0)
    assert not pulse.live([beat(told - step)], 115.1)
    assert pulse.live([beat(told + 1)], 116.0)
