"""Idempotency keys: the same key with the same request does nothing a second time.

A key is taken in the transaction of its act, and kept with the answer; of a refused act it is given
back, so that the act may be tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.hiring.errors import KeyReusedError
from shortlist.hiring.transactions.asked import VIEWS
from shortlist.hiring.views import View
from shortlist.storage.postgres.queries.hiring import answers
from shortlist.storage.postgres.queries.hiring.answers import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.hiring.by import Once
    from shortlist.hiring.transactions.asked import Answer, Ask, ByHand
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.queries.hiring.answers import Given


def key_of(once: Once) -> Key:
    """Return a key as it is kept."""
    return Key(once.key, once.route)


class IdempotencyKeys:
    """The idempotency keys of the asks of one transaction."""

    def __init__(self, asks: Mapping[int, Ask | ByHand]) -> None:
        """``asks``: by their places in the group, in order."""
        self._asks = asks
        self._firsts: dict[Key, int] = {}
        self._again: dict[int, int] = {}
        """An ask whose key an earlier one in this group has → that one."""
        for place, ask in asks.items():
            if ask.by.once is not None:
                first = self._firsts.setdefault(key_of(ask.by.once), place)
                if first != place:
                    self._again[place] = first
        self._taken: list[Key] = []

    def comes_again(self, place: int) -> bool:
        """Tell whether an ask has the key of an earlier one, whose answer will be its own."""
        return place in self._again

    async def take(self, connection: Connection) -> dict[int, Answer]:
        """Take the keys; return the answers of asks whose keys were used before."""
        if not self._firsts:
            return {}
        used = await answers.take(
            connection, {key: self._hash(place) for key, place in self._firsts.items()}
        )
        self._taken = [key for key in self._firsts if key not in used]
        told = {self._firsts[key]: self._told(key, given) for key, given in used.items()}
        return told | self.repeated(told)

    async def keep(self, connection: Connection, told: Mapping[int, Answer]) -> None:
        """Keep the answers of the keys that were taken; give those of refused acts back."""
        if self._taken:
            kept = {key: told.get(self._firsts[key]) for key in self._taken}
            await answers.keep(connection, {key: _written(one) for key, one in kept.items()})

    def repeated(self, told: Mapping[int, Answer]) -> dict[int, Answer]:
        """Return the answers of asks whose keys came again in this group."""
        return {
            place: told[first] if self._hash(place) == self._hash(first) else KeyReusedError()
            for place, first in self._again.items()
            if first in told
        }

    def _hash(self, place: int) -> bytes:
        once = self._asks[place].by.once
        assert once is not None
        return once.body_hash

    def _told(self, key: Key, given: Given) -> Answer:
        place = self._firsts[key]
        if given.body_hash != self._hash(place):
            return KeyReusedError()
        return VIEWS[type(self._asks[place])].model_validate_json(given.answer)


def _written(answer: Answer | None) -> str | None:
    return answer.model_dump_json(by_alias=True) if isinstance(answer, View) else None
