"""How long the entry at the head of a line has waited, whatever a clock does meanwhile. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist.domain.line.sweep import Position


class HeadAge:
    """One reader's knowledge of one line.

    An entry's id says when it was added, by the server's clock, and that may have been set since.
    But entries are taken in order: whatever stands at the head now was added after whatever stood
    there before, and after the line was last empty. So it is no older than that would be by now.
    """

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._head: Position | None = None
        self._age_seconds = 0.0
        self._seen_at: float | None = None

    def see(self, head: Position | None, server_seconds: float, now: float) -> float:
        """Compute the head's age in seconds; 0 for an empty line.

        ``server_seconds``: the time by the server's clock; ``now``: by one that only goes forward.
        """
        age = 0.0 if head is None else max(0.0, server_seconds - head[0] / 1000)
        if self._seen_at is not None:
            most = self._age_seconds + now - self._seen_at
            is_the_same = head is not None and head == self._head
            age = most if is_the_same else min(age, most)
        self._head, self._age_seconds, self._seen_at = head, age, now
        return age
