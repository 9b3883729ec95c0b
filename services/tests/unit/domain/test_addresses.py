from __future__ import annotations

import pytest

from shortlist.domain.addresses import is_loopback, is_unspecified, local


@pytest.mark.parametrize(
    ("host", "loopback", "unspecified", "reached_at"),
    [
        ("127.0.0.1", True, False, "127.0.0.1"),
        ("::1", True, False, "::1"),
        ("0.0.0.0", False, True, "127.0.0.1"),
        ("::", False, True, "::1"),
        ("192.0.2.7", False, False, "192.0.2.7"),
        ("fe80::1%eth0", False, False, "fe80::1%eth0"),
    ],
)
def test_what_listens_on_an_address_is_reached_at_one(
    host: str, *, loopback: bool, unspecified: bool, reached_at: str
) -> None:
    assert (is_loopback(host), is_unspecified(host), local(host)) == (
        loopback,
        unspecified,
        reached_at,
    )
