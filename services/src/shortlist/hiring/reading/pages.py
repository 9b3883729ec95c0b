"""Lists in parts: how many at once, and the cursors that say where the next part begins.

A cursor is opaque to clients; it names a place in an order, never a number of rows to pass over.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Final, Generic, TypeVar

import msgspec

from shortlist.domain.hiring.opening import Problem
from shortlist.hiring.errors import InvalidError

T = TypeVar("T")
C = TypeVar("C", bound=msgspec.Struct)

WHOLE: Final = 20_000
"""A list without a limit is whole up to so many."""

ID_MAX: Final = 2**63 - 1
"""Of Postgres's bigint; what is beyond names nothing."""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A part of a list. ``total``: of the whole; ``next``: what ``after`` is for what follows."""

    items: list[T]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """An answer that holds lists. ``next``: what ``after`` is for the rest of them; None: none."""

    view: T
    next: str | None


Natural = Annotated[int, msgspec.Meta(ge=0, le=ID_MAX)]


class AfterId(msgspec.Struct, frozen=True):
    """Behind a row with this id."""

    id: Natural = 0


class BeforeEvent(msgspec.Struct, frozen=True):
    """Older than this event."""

    at: dt.datetime
    id: Natural


class AfterFound(msgspec.Struct, frozen=True):
    """Behind this row of a company's list in this order."""

    sort: str
    rank: float
    text: bytes
    id: Natural


class HolderPlace(msgspec.Struct, frozen=True):
    """Behind one who holds a place since then, with that APPLIED event; None: the start."""

    since: dt.datetime | None = None
    applied: Natural = 0


class LinePlace(msgspec.Struct, frozen=True):
    """Behind a key, at a position."""

    key: bytes = b""
    position: Natural = 0


class InLists(msgspec.Struct, frozen=True):
    """Where both lists of an opening go on; None: that list has ended."""

    holders: HolderPlace | None = HolderPlace()
    line: LinePlace | None = LinePlace()


class InReplay(msgspec.Struct, frozen=True):
    """Where a replay goes on, at the same moment; ``events``: those before this sequence."""

    as_of: dt.datetime
    sequence: Natural
    events: Natural | None
    holders: HolderPlace | None = HolderPlace()
    line: LinePlace | None = LinePlace()


def encode(cursor: msgspec.Struct) -> str:
    """Write a cursor for a client."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def decode(text: str, kind: type[C]) -> C:
    """Read a cursor of a kind of list.

    Raises:
        InvalidError: it is no cursor of such a list.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=kind)
    except (binascii.Error, ValueError) as error:  # msgspec's are ValueErrors, too
        raise InvalidError((Problem("after", "is no cursor of this list"),)) from error


def cut(rows: list[T], size: int) -> tuple[list[T], bool]:
    """Return the first rows, and whether there are more: one more than ``size`` was asked for."""
    return rows[:size], len(rows) > size
