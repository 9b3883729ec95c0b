from __future__ import annotations

import pytest

from shortlist.domain.line.age import HeadAge

NOON = 1_790_000_000.0


def at(seconds: float) -> tuple[int, int]:
    """Where an entry stands that was added so many seconds after noon."""
    return int((NOON + seconds) * 1000), 0


def test_a_head_is_as_old_as_its_id_says_by_the_servers_clock() -> None:
    age = HeadAge()
    assert age.see(at(0), NOON + 30, 100.0) == pytest.approx(30)
    assert age.see(at(20), NOON + 31, 101.0) == pytest.approx(11)
    assert age.see(None, NOON + 32, 102.0) == 0
    assert age.see(at(32.5), NOON + 33, 103.0) == pytest.approx(0.5)


@pytest.mark.parametrize("step", [-8_640_000.0, -3600.0, 3600.0, 8_640_000.0])
def test_a_step_of_the_servers_clock_makes_nothing_older_or_younger(step: float) -> None:
    age = HeadAge()
    age.see(at(0), NOON + 30, 100.0)
    assert age.see(at(0), NOON + step + 31, 101.0) == pytest.approx(31)
    assert 0 <= age.see(at(20), NOON + step + 32, 102.0) <= 32
    assert age.see(None, NOON + step + 33, 103.0) == 0
    assert age.see(at(33), NOON + step + 34, 104.0) <= 1
