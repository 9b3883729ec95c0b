"""Keys for machines: what one looks like, what it may do, and what is kept of it.

A key is drawn at random, shown once, and kept as its digest: who reads the table can use none. It
has 256 bits, so a plain SHA-256 is enough; a slow hash is for what people choose.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    import datetime as dt

Scope = Literal["read", "apply", "manage", "scoring"]
"""What a key allows.

``read``: every GET of ``/api``, all applicants' names and addresses among them. ``apply``: what
applicants do, for any of them. ``manage``: openings, what a company does by hand, erasing.
``scoring``: the routes outside ``/api`` where ``SHORTLIST_SCORING_AUTH`` closes them. None of them
includes another one.
"""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

PREFIX = "sl_"
"""By which people, and programs that look for leaked secrets, know a key."""

SECRET_BYTES = 32

_KEY = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")

NAME_LIMIT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that is in order: neither expired nor revoked when it was looked at."""

    id: int
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class KeptKey:
    """What is kept of a key. Times are aware, in UTC."""

    id: int
    name: str
    scopes: tuple[Scope, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    is_valid: bool
    """By Postgres's clock, when it was read."""


def key_of(secret: bytes) -> str:
    """Write a key from `SECRET_BYTES` random bytes."""
    assert len(secret) == SECRET_BYTES
    return PREFIX + urlsafe_b64encode(secret).decode().rstrip("=")


def is_key(text: str) -> bool:
    """Tell whether a text has a key's form; no other one is asked for."""
    return _KEY.fullmatch(text) is not None


def digest_of_key(key: str) -> bytes:
    """Return what is kept of a key."""
    return sha256(key.encode()).digest()
