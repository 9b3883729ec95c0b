from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.domain.access import SECRET_BYTES, digest_of_key, is_key, key_of

secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)


@given(secrets)
def test_a_key_has_a_keys_form(secret: bytes) -> None:
    assert is_key(key_of(secret))


@given(secrets, secrets)
def test_two_secrets_make_two_keys_and_two_digests(one: bytes, other: bytes) -> None:
    keys = key_of(one), key_of(other)
    assert (keys[0] == keys[1]) is (one == other)
    assert (digest_of_key(keys[0]) == digest_of_key(keys[1])) is (one == other)


@pytest.mark.parametrize(
    "text", ["", "sl_", "sl_" + "a" * 42, "sl_" + "a" * 44, "SL_" + "a" * 43, "sl_" + "é" * 43]
)
def test_another_text_is_no_key(text: str) -> None:
    assert not is_key(text)


def test_what_is_kept_does_not_hold_the_key() -> None:
    key = key_of(bytes(SECRET_BYTES))
    assert len(digest_of_key(key)) == 32
    assert key.encode() not in digest_of_key(key)
