from __future__ import annotations

import pytest

from shortlist.domain.sizing.connections import claims_for, connections_wanted, slots_for


@pytest.mark.parametrize("grant", range(1, 20))
@pytest.mark.parametrize("overhead", [1, 2, 3, 5])
@pytest.mark.parametrize("concurrency", [1, 4, 10, 50])
def test_per_job_never_claims_more_than_the_connections_beside_the_workers_own(
    grant: int, overhead: int, concurrency: int
) -> None:
    slots = slots_for(grant, overhead=overhead, concurrency=concurrency, mode="perJob")
    claims = claims_for(slots, overhead=overhead, mode="perJob")
    assert slots <= claims <= max(0, grant - 1) or slots == 0
    assert slots <= max(0, grant - overhead)


def test_without_slots_nothing_is_claimed_ahead() -> None:
    assert claims_for(0, overhead=3, mode="perJob") == 0
    assert claims_for(0, overhead=3, mode="perWrite") == 0


def test_a_fifth_more_than_the_slots_is_claimed_where_connections_allow_it() -> None:
    assert claims_for(10, overhead=1, mode="perWrite") == 12
    assert claims_for(4, overhead=1, mode="perWrite") == 4
    assert [claims_for(10, overhead=k, mode="perJob") for k in (1, 2, 3, 4)] == [10, 11, 12, 12]


def test_the_grant_that_is_wanted_gives_the_whole_concurrency() -> None:
    for overhead in (1, 3):
        grant = connections_wanted(concurrency=10, overhead=overhead, mode="perJob")
        assert slots_for(grant, overhead=overhead, concurrency=10, mode="perJob") == 10
    assert connections_wanted(concurrency=10, overhead=1, mode="perWrite") == 2
