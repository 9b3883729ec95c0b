"""Floors: keys under which no placement waits, so that the head of a line is found at once.

Floors ``a1 < a2 < … < am`` say: at each of ``a1 … a(m-1)`` one placement waits at most, and all
others wait at ``am`` or behind. The head is looked for from ``a1`` on: in front of it are only
entries of those who left, which an old snapshot elsewhere keeps in the index (decision 0043). No
floors: nothing is known, and the search begins at the beginning.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

MOST: Final = 8

Floors = tuple[bytes, ...]
"""Ascending keys, as `codec.encode_key` writes them."""


def after_join(floors: Floors, key: bytes, *, others: int) -> Floors:
    """Return the floors after a placement joined the line.

    Args:
        floors: before.
        key: where it stands.
        others: how many waited before.
    """
    if not others:
        return (key,)
    if not floors or key >= floors[-1] or key in floors:
        return floors
    index = bisect_left(floors, key)
    return (*floors[:index], key, *floors[index:])[:MOST]


def after_leave(floors: Floors, key: bytes, *, was_first: bool) -> Floors:
    """Return the floors after a placement left the line.

    Args:
        floors: before.
        key: where it stood.
        was_first: whether it is known that no placement stood in front of it.
    """
    if was_first:
        return floors[bisect_right(floors, key) :] or (key,)
    if key in floors[:-1]:
        return tuple(floor for floor in floors if floor != key)
    return floors
