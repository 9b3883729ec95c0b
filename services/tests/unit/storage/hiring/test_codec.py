"""Keys as bytes compare as keys do, and come back as they were."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from shortlist.domain.hiring.ordering import LineKey
from shortlist.domain.hiring.placement import PlacementId
from shortlist.storage.postgres.queries.hiring.codec import decode_key, encode_key

ORDINALS = st.decimals(
    min_value=-(10**15), max_value=10**15, allow_nan=False, allow_infinity=False, places=9
) | st.integers(-(10**15), 10**15).map(Decimal)
FINE_ORDINALS = st.tuples(st.integers(-5, 5), st.text("0123456789", max_size=60)).map(
    lambda parts: Decimal(f"{parts[0]}.{parts[1] or 0}")
)
KEYS = st.builds(
    LineKey,
    misses=st.integers(0, 2**31 - 1),
    rank=st.floats(-100, 1).map(lambda rank: rank + 0.0),
    ordinal=ORDINALS | FINE_ORDINALS,
    placement_id=st.integers(1, 2**63 - 1).map(PlacementId),
)
NEAR = st.builds(
    LineKey,
    misses=st.integers(0, 1),
    rank=st.sampled_from([-100.0, -0.5, 0.0, 1.0]),
    ordinal=FINE_ORDINALS,
    placement_id=st.integers(1, 3).map(PlacementId),
)


@given(KEYS | NEAR)
def test_a_key_comes_back_as_it_was(key: LineKey) -> None:
    assert decode_key(encode_key(key)) == key


@given(NEAR | KEYS, NEAR | KEYS)
def test_bytes_compare_as_keys_do(one: LineKey, other: LineKey) -> None:
    assert (encode_key(one) < encode_key(other)) == (one < other)
    assert (encode_key(one) == encode_key(other)) == (one == other)
