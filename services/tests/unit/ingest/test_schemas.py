from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.http.errors import ApiError
from shortlist.ingest.schemas import ApplicationBody, decode, idempotency_key, meaning_hash

DECODER = msgspec.json.Decoder(ApplicationBody)

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1).filter(
    lambda t: not t.isspace()
)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def refused(raw: bytes) -> bool:
    """Whether it is refused; whatever else is raised is a bug."""
    try:
        decode(DECODER, raw)
    except ApiError as error:
        return (error.status, error.code) == (400, "VALIDATION_ERROR")
    return False


@given(text, text)
def test_any_text_that_postgres_can_hold_is_taken_as_it_is(candidate: str, payload: str) -> None:
    raw = json.dumps({"candidate": candidate[:500], "payload": payload}).encode()
    if not candidate[:500].isspace():
        assert decode(DECODER, raw) == ApplicationBody(candidate[:500], payload)


@given(st.binary())
def test_bytes_are_refused_or_decoded_and_nothing_else(raw: bytes) -> None:
    refused(raw)


@given(json_values)
def test_json_is_refused_unless_it_is_an_application(value: object) -> None:
    assert refused(json.dumps(value).encode())


@given(json_values, st.sampled_from(["candidate", "payload", "pipeline"]))
def test_a_field_of_another_type_is_refused(value: object, name: str) -> None:
    body = {"candidate": "a", "payload": "p", name: value}
    if not isinstance(value, str):
        assert refused(json.dumps(body).encode())


@given(text, text, st.integers(0, 2))
def test_no_nul_ever_gets_through(candidate: str, payload: str, field: int) -> None:
    values = [candidate[:400], payload, "default"]
    values[field] = values[field][:1] + "\x00" + values[field][1:]
    body = dict(zip(("candidate", "payload", "pipeline"), values, strict=True))
    assert refused(json.dumps(body).encode())


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_two_meanings_have_one_hash_only_when_they_are_one(one: list[str], two: list[str]) -> None:
    assert (meaning_hash(*one) == meaning_hash(*two)) == (one == two)


def test_no_candidate_is_not_a_candidate_of_that_name() -> None:
    assert meaning_hash("default", None, "p") != meaning_hash("default", "null", "p")


@pytest.mark.parametrize("raw", [b"", b"k" * 256, "schlüssel".encode()])
def test_a_key_that_is_none_is_refused(raw: bytes) -> None:
    with pytest.raises(ApiError) as error:
        idempotency_key({b"idempotency-key": raw})
    assert error.value.status == 400


def test_a_key_may_be_anything_else_and_may_be_missing() -> None:
    assert idempotency_key({b"idempotency-key": b"k" * 255}) == "k" * 255
    assert idempotency_key({}) is None
