from __future__ import annotations

import pytest

from shortlist.domain.email_addresses import email_key


@pytest.mark.parametrize(
    "written",
    [
        "Zoé@Bücher.example",
        " ZOÉ@BÜCHER.EXAMPLE\n",
        "Zoe\N{COMBINING ACUTE ACCENT}@xn--bcher-kva.example",
    ],
)
def test_one_address_has_one_key_however_it_is_written(written: str) -> None:
    assert email_key(written) == "zoé@xn--bcher-kva.example"


def test_other_addresses_have_other_keys() -> None:
    keys = {email_key(a) for a in ("a@b.example", "a.b@example", "a+b@example", "ab@example")}
    assert len(keys) == 4


def test_what_dns_cannot_have_is_compared_as_it_is() -> None:
    assert email_key(f"A@{'x' * 70}.example") == f"a@{'x' * 70}.example"
