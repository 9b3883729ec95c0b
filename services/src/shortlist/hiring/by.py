"""By whom an act is done, and by which idempotency key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist.domain.hiring.audit import Actor


@dataclass(frozen=True, slots=True)
class Once:
    """An idempotency key: the same one, of the same request, does nothing a second time.

    Attributes:
        key: 1 to 255 characters, the client's.
        route: a key belongs to one, like ``POST /apply``.
        body_hash: of what was asked for.
    """

    key: str
    route: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class By:
    """Who acts, for the audit; ``once``: the idempotency key, if there is one."""

    actor: Actor
    once: Once | None = None
