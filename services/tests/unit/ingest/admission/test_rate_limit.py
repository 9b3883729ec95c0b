from __future__ import annotations

import time
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from shortlist.ingest.admission.quota import Quota
from shortlist.ingest.admission.rate_limit import ClientRate

calls = st.lists(st.floats(min_value=0, max_value=10), max_size=60).map(
    lambda gaps: [sum(gaps[: n + 1]) for n in range(len(gaps))]
)
"""Times of calls, rising."""


@given(calls, st.floats(0.1, 50), st.integers(1, 10))
def test_no_stretch_of_time_sees_more_than_burst_and_rate_allow(
    times: list[float], per_second: float, burst: int
) -> None:
    rate = ClientRate(per_second, burst)
    allowed = [now for now in times if rate.take("a", now)[0] == 0]
    for first, start in enumerate(allowed):
        for count, end in enumerate(allowed[first:], start=1):
            assert count <= burst + (end - start) * per_second + 1e-3


@given(calls, st.floats(0.1, 50), st.integers(1, 10))
def test_a_refused_client_may_call_when_it_was_told_to(
    times: list[float], per_second: float, burst: int
) -> None:
    rate = ClientRate(per_second, burst)
    for now in times:
        wait, _ = rate.take("a", now)
        if wait:
            assert rate.take("a", now + wait)[0] == 0
            return


@given(calls, st.floats(0.1, 50), st.integers(1, 10))
def test_what_is_said_to_remain_may_be_called_at_once_and_no_more(
    times: list[float], per_second: float, burst: int
) -> None:
    rate = ClientRate(per_second, burst)
    for now in times:
        _, quota = rate.take("a", now)
        assert 0 <= quota.remaining < burst
    if times:
        for _ in range(quota.remaining):
            assert rate.take("a", times[-1])[0] == 0
        assert rate.take("a", times[-1])[0] > 0


def test_clients_do_not_share() -> None:
    rate = ClientRate(1, 1)
    assert rate.take("a", 0)[0] == 0
    assert rate.take("a", 0)[0] == 1
    assert rate.take("b", 0)[0] == 0


def test_the_clients_that_were_quiet_for_longest_are_forgotten_first() -> None:
    rate = ClientRate(0.001, 1, most_clients=2)
    for client in ("a", "b", "a", "c"):
        rate.take(client, 0)
    assert rate.take("a", 0)[0] > 0
    assert rate.take("b", 0)[0] == 0  # forgotten, so as good as new


def test_to_forget_the_oldest_costs_the_same_however_many_are_known() -> None:
    """Each of many clients calls again and again: a dict would look past all their old places."""
    many = 20_000
    rate = ClientRate(1, 1, most_clients=many)
    for number in range(many):
        rate.take(f"{number}", 0)
    began = time.process_time()
    for number in range(many):
        rate.take(f"again {number}", 0)
    assert time.process_time() - began < 2
    assert len(rate._full_at) == many


def rate_of_many_clients_takes(most_clients: int) -> int:
    """Bytes that a rate holds after three times as many clients as it may remember have called."""
    many = 3_000
    tracemalloc.start()
    try:
        rate = ClientRate(1, 1, most_clients=most_clients)
        for number in range(many):
            rate.take(f"2001:db8:{number:x}::/48", 0)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


BYTES_OF_A_CLIENT = 250
"""As the limit of clients was chosen by."""


def test_a_rate_takes_no_more_memory_for_more_clients() -> None:
    assert rate_of_many_clients_takes(1_000) <= 1_000 * BYTES_OF_A_CLIENT * 1.2


def test_off_switch_a_rate_that_forgets_nobody_takes_more() -> None:
    assert rate_of_many_clients_takes(1 << 60) > 1_000 * BYTES_OF_A_CLIENT * 1.2


def test_the_headers_are_whole_numbers_and_never_negative() -> None:
    assert Quota(5, -2, 0.2).headers() == (
        (b"ratelimit-limit", b"5"),
        (b"ratelimit-remaining", b"0"),
        (b"ratelimit-reset", b"1"),
    )
