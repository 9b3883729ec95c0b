"""What clients send is remembered only when it is short."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain import memo, networks
from shortlist.domain.memo import LONGEST, remembers_short
from shortlist.http import http1, local

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_BYTES = 30_000
"""What a head may hold."""

COUNT = 100
NAMES = local.LocalNames("")

KEEPERS: dict[str, Callable[[str], Any]] = {
    "an address": networks.parse_address,
    "a network": lambda text: networks.network_of(text, 64),
    "a Host": lambda text: http1._is_host(text.encode()),
    "a name of ours": lambda text: NAMES.is_ours(text.encode()),
    "a loopback name": local.is_loopback_name,
}
"""All that remember by a text of a client's."""


def held_bytes(ask: Callable[[str], Any]) -> int:
    """What stays in memory of so many long texts."""
    tracemalloc.start()
    try:
        for number in range(COUNT):
            ask(f"{number}".rjust(LONG_BYTES, "a"))
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", KEEPERS)
def test_long_texts_are_not_kept(what: str) -> None:
    assert held_bytes(KEEPERS[what]) < COUNT * LONG_BYTES / 10


def test_off_switch_a_plain_cache_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "LONGEST", 1 << 60)
    assert held_bytes(remembers_short(COUNT)(lambda text: text)) > COUNT * LONG_BYTES


def test_short_texts_are_computed_once() -> None:
    asked: list[str] = []
    ask = remembers_short(2)(asked.append)
    for text in ("a", "a", "b" * LONGEST, "b" * LONGEST):
        ask(text)
    assert asked == ["a", "b" * LONGEST]
