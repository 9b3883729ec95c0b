from __future__ import annotations

from shortlist.domain.sizing.fleet import StartTimes


def test_nothing_is_known_of_starts_before_the_first() -> None:
    assert StartTimes().p90_seconds() is None


def test_a_start_counts_once_however_long_the_worker_stays() -> None:
    starts = StartTimes()
    for _ in range(20):
        starts.see({"slow": 9.0})
    starts.see({"slow": 9.0, **{f"quick {n}": 1.0 for n in range(19)}})
    assert starts.p90_seconds() == 1.0


def test_who_is_ready_again_did_not_start_again() -> None:
    starts = StartTimes()
    starts.see({"a": 2.0, "b": 2.0})
    starts.see({})  # Postgres was away
    starts.see({"a": 3600.0, "b": 3600.0})
    assert starts.p90_seconds() == 2.0


def test_old_starts_are_forgotten() -> None:
    starts = StartTimes()
    starts.see({f"slow {n}": 9.0 for n in range(50)})
    starts.see({f"quick {n}": 1.0 for n in range(50)})
    assert starts.p90_seconds() == 1.0
