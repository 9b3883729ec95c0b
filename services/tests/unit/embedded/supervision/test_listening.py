"""Which listeners `up` opens, and what it says of them."""

from __future__ import annotations

import socket

import pytest

from shortlist.embedded.supervision.listening import listening, url
from shortlist.embedded.supervision.supervisor import StartError
from shortlist.settings import Settings


def settings(**more: object) -> Settings:
    return Settings.model_validate({"host": "127.0.0.1", "port": 0} | more)


def test_each_listener_is_told() -> None:
    with listening(settings(private_port=0)) as listeners:
        health, private = listeners.sentences()
        assert health.startswith("Probes and metrics are at http://127.0.0.1:")
        assert private.startswith("Leaderboards and pages are at http://127.0.0.1:")
        public = listeners.public.getsockname()
        assert listeners.twin is not None
        assert listeners.twin.getsockname()[:2] == ("::1", public[1])
        assert len({listener.getsockname() for listener in listeners.all}) == 4


def test_without_a_private_port_there_is_no_private_listener() -> None:
    with listening(settings()) as listeners:
        assert listeners.private is None
        assert len(listeners.sentences()) == 1


def test_one_that_others_reach_is_told() -> None:
    """The private one is on loopback unless its own setting says otherwise."""
    with listening(settings(host="0.0.0.0", private_port=0)) as listeners:
        (exposed,) = [words for words in listeners.sentences() if "without authentication" in words]
        assert f"port {listeners.public.getsockname()[1]}:" in exposed
    with listening(settings(private_host="0.0.0.0", private_port=0)) as listeners:
        assert any("without authentication" in words for words in listeners.sentences())


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("port", "--port"),
        ("metrics_port", "SHORTLIST_METRICS_PORT"),
        ("private_port", "SHORTLIST_PRIVATE_PORT"),
    ],
)
def test_a_taken_port_is_told_with_its_setting(name: str, setting: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StartError, match=f"cannot be had: .* with {setting}\\."),
        listening(settings(**{name: taken.getsockname()[1]})),
    ):
        pass


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_the_url_of_an_ipv6_address_has_its_brackets(host: str) -> None:
    with listening(settings(host=host)) as listeners:
        port = listeners.public.getsockname()[1]
        assert url(listeners.public) == f"http://[::1]:{port}"


def test_clients_are_refused_when_it_drains_and_probes_are_not() -> None:
    with listening(settings(private_port=0)) as listeners:
        listeners.close_for_clients()
        assert listeners.private is not None
        closed = [one.fileno() == -1 for one in (listeners.public, listeners.private)]
        assert closed == [True, True]
        assert listeners.health.fileno() >= 0
