from __future__ import annotations

import pytest

from shortlist.http.local import LocalNames

OURS = ["localhost", "LocalHost:8000", "localhost.", "app.localhost", "127.0.0.1",
        "127.1.2.3:80", "[::1]", "[::1]:8000", "[::ffff:127.0.0.1]", "apply.example",
        "APPLY.example:443"]  # fmt: skip
OTHERS = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evillocalhost",
          "10.0.0.1", "0.0.0.0", "[::2]", "::1", "", "apply.example.evil", "127.0.0.1:80:80",
          "localhost@evil.example", "0x7f000001", "2130706433", "127.1"]  # fmt: skip

NAMES = LocalNames("apply.example, ,other.example")


@pytest.mark.parametrize("host", OURS)
def test_a_name_of_this_machine_is_ours(host: str) -> None:
    assert NAMES.refusal("GET", {b"host": host.encode()}) is None


@pytest.mark.parametrize("host", OTHERS)
def test_any_other_name_is_refused(host: str) -> None:
    assert NAMES.refusal("GET", {b"host": host.encode()}) is not None


@pytest.mark.parametrize(
    ("headers", "may_write"),
    [
        ({}, True),
        ({b"sec-fetch-site": b"none"}, True),
        ({b"sec-fetch-site": b"same-origin", b"origin": b"http://127.0.0.1:8000"}, True),
        ({b"sec-fetch-site": b"same-site", b"origin": b"http://localhost:3000"}, True),
        ({b"sec-fetch-site": b"cross-site"}, False),
        ({b"sec-fetch-site": b"cross-site", b"origin": b"http://localhost:3000"}, False),
        ({b"sec-fetch-site": b"cross-site", b"origin": b"https://apply.example"}, True),
        ({b"origin": b"https://apply.example:8443"}, True),
        ({b"origin": b"http://[::1]:3000"}, True),
        ({b"origin": b"https://evil.example"}, False),
        ({b"origin": b"http://localhost.evil.example"}, False),
        ({b"origin": b"null"}, False),
        ({b"origin": b""}, False),
        ({b"origin": b"chrome-extension://abc"}, False),
        ({b"origin": b"http://localhost@evil.example"}, False),
    ],
)
def test_what_changes_something_comes_from_no_other_site(
    headers: dict[bytes, bytes], *, may_write: bool
) -> None:
    ours = {b"host": b"localhost"} | headers
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (NAMES.refusal(method, ours) is None) == may_write
    for method in ("GET", "HEAD", "OPTIONS"):
        assert NAMES.refusal(method, ours) is None
