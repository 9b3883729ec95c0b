"""What hiring's columns hold: a key of the line as bytes, and one letter for each word.

Postgres compares ``bytea`` byte by byte, so one column and one index hold a key, and every search
in a line is ``key < …``:

    4 bytes   misses, big-endian
    8 bytes   rank: an IEEE double, its bits changed so that they rise with the number
    8 bytes   the greatest whole number that is not above the ordinal, plus 2^63
    n bytes   the ordinal's fraction, its decimal digits in ASCII without zeros at the end
    1 byte    0, which is less than every digit: the shorter of two fractions comes first
    8 bytes   the placement's id
"""

from __future__ import annotations

import struct
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Final, get_args

from shortlist.domain.hiring.audit import ActorKind, EventType
from shortlist.domain.hiring.ordering import EXACT, LineKey
from shortlist.domain.hiring.placement import PlacementId, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = struct.Struct(">IQQ")
_TAIL = struct.Struct(">Q")
_DOUBLE = struct.Struct(">d")
_BITS = struct.Struct(">Q")
_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def encode_key(key: LineKey) -> bytes:
    """Return a key as bytes that compare as the key does."""
    whole = key.ordinal.to_integral_value(rounding=ROUND_FLOOR)
    fraction = EXACT.subtract(key.ordinal, whole)
    digits = f"{fraction:f}"[2:].rstrip("0").encode()
    head = _HEAD.pack(key.misses, _rising(key.rank), int(whole) + _SIGN)
    return b"%b%b\0%b" % (head, digits, _TAIL.pack(key.placement_id))


def decode_key(data: bytes) -> LineKey:
    """Return the key that `encode_key` wrote."""
    misses, rank, whole = _HEAD.unpack_from(data)
    digits = data[_HEAD.size : -_TAIL.size - 1].decode()
    ordinal = EXACT.add(Decimal(whole - _SIGN), Decimal(f"0.{digits or 0}"))
    (placement_id,) = _TAIL.unpack(data[-_TAIL.size :])
    return LineKey(misses, _number(rank), ordinal, PlacementId(placement_id))


def starts_of(key: bytes) -> tuple[bytes, bytes]:
    """Return the parts of a key that hold its misses, and its misses and rank.

    A part is less than every key that begins with it.
    """
    return key[:4], key[:12]


def _rising(number: float) -> int:
    """Return a double's bits so that they rise with it: negative ones are turned round."""
    (bits,) = _BITS.unpack(_DOUBLE.pack(number + 0.0))  # + 0.0: there is one zero
    return int(bits ^ _ALL if bits & _SIGN else bits | _SIGN)


def _number(bits: int) -> float:
    """Return the double of `_rising`."""
    raw = bits ^ _SIGN if bits & _SIGN else bits ^ _ALL
    number: float = _DOUBLE.unpack(_BITS.pack(raw))[0]
    return number


STATUS: Final[Mapping[Status, bytes]] = {
    "ACTIVE": b"a",
    "WAITLIST": b"w",
    "PENDING_ACKNOWLEDGMENT": b"p",
    "INACTIVE": b"i",
}
EVENT: Final[Mapping[EventType, bytes]] = {
    "APPLIED": b"a",
    "PROMOTED": b"p",
    "ACKNOWLEDGED": b"k",
    "WITHDRAWN": b"w",
    "DECAY_TRIGGERED": b"d",
    "SCORED": b"s",
    "MOVED": b"m",
    "REINSTATED": b"r",
    "PROMOTION_UNDONE": b"u",
    "OPENED": b"O",
    "RULES_CHANGED": b"R",
    "CLOSED": b"C",
    "REOPENED": b"P",
    "ENDED": b"E",
}
ACTOR: Final[Mapping[ActorKind, bytes]] = {
    "person": b"p",
    "link": b"l",
    "key": b"k",
    "system": b"s",
}

STATUS_OF: Final = {code: word for word, code in STATUS.items()}
EVENT_OF: Final = {code: word for word, code in EVENT.items()}
ACTOR_OF: Final = {code: word for word, code in ACTOR.items()}

assert set(STATUS) == set(get_args(Status))
assert set(ACTOR) == set(get_args(ActorKind))
