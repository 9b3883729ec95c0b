from __future__ import annotations

import pytest

from shortlist.domain.networks import LOCAL, Proxies, network_around, network_of, parse_networks


@pytest.mark.parametrize(
    ("one", "other", "prefix", "are_one"),
    [
        ("192.0.2.1", "192.0.2.1", 64, True),
        ("192.0.2.1", "192.0.2.2", 64, False),
        ("2001:db8::1", "2001:db8:0:0:ffff::9", 64, True),
        ("2001:db8::1", "2001:DB8:0::2", 64, True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", 64, False),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", 48, True),
        ("2001:db8:1::1", "2001:db8:2::1", 48, False),
        ("::ffff:192.0.2.1", "192.0.2.1", 64, True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 64, False),
        ("192.0.2.1:443", "192.0.2.1", 64, True),
        ("[2001:db8::1]:443", "2001:db8::2", 64, True),
        ("fe80::1%eth0", "fe80::1%eth1", 64, True),
        ('"[2001:db8::1]"', "2001:db8::1", 64, True),
        ("unknown", "_hidden", 64, True),
        ("x" * 1_000_000, "", 64, True),
    ],
)
def test_a_client_is_a_network(one: str, other: str, prefix: int, *, are_one: bool) -> None:
    assert (network_of(one, prefix) == network_of(other, prefix)) is are_one


def test_what_is_no_address_is_told_apart_from_every_address() -> None:
    assert network_of("no address", 64) == LOCAL
    assert network_of("192.0.2.1", 64) != LOCAL


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("::ffff:192.0.2.1", "192.0.2.2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("no address", "none either", True),
        ("no address", "192.0.2.1", False),
    ],
)
def test_an_address_has_a_network_around_it(one: str, other: str, *, are_one: bool) -> None:
    assert (network_around(one, 48, 24) == network_around(other, 48, 24)) is are_one


OURS = Proxies(parse_networks("10.0.0.0/8, fd00::/8,192.0.2.9"))


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "client"),
    [
        # Without proxies of ours the header is a claim.
        (Proxies(), "198.51.100.1", "1.1.1.1", "198.51.100.1"),
        (OURS, "198.51.100.1", "1.1.1.1", "198.51.100.1"),
        # Read from its end, past our own.
        (OURS, "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (OURS, "10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        (OURS, "10.0.0.1", "1.1.1.1,198.51.100.1, fd00::1, 192.0.2.9", "198.51.100.1"),
        (OURS, "::ffff:10.0.0.1", "198.51.100.1:5000", "198.51.100.1:5000"),
        # Ours all the way, none at all, and what is no address: the last one that is known.
        (OURS, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (OURS, "10.0.0.1", "", "10.0.0.1"),
        (OURS, "10.0.0.1", " , ,", "10.0.0.1"),
        (OURS, "10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
        (OURS, "10.0.0.1", "1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
        # Counted, whatever the addresses.
        (Proxies(hops=1), "203.0.113.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        (Proxies(hops=2), "203.0.113.1", "1.1.1.1, 198.51.100.1, 203.0.113.2", "198.51.100.1"),
        (Proxies(hops=2), "203.0.113.1", "198.51.100.1", "198.51.100.1"),
        (Proxies(hops=1), "203.0.113.1", "1.1.1.1, unknown", "203.0.113.1"),
        (Proxies(hops=1), "203.0.113.1", "", "203.0.113.1"),
    ],
)
def test_the_client_is_whom_our_outermost_proxy_saw(
    proxies: Proxies, peer: str, forwarded: str, client: str
) -> None:
    assert proxies.client(peer, forwarded) == client


def test_a_chain_without_end_costs_no_more_than_a_short_one() -> None:
    assert OURS.client("10.0.0.1", "1.1.1.1," + "10.0.0.2," * 100_000 + "10.0.0.3") == "10.0.0.2"


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.local", "10.0.0.1/8"])
def test_a_network_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_networks(text)
