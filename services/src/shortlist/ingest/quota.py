"""How often a client may call, and the headers that tell it so before it is refused.

The headers are those of the IETF draft "RateLimit header fields for HTTP" in the form that clients
know (draft-ietf-httpapi-ratelimit-headers-06): ``RateLimit-Limit``, ``-Remaining``, ``-Reset``. A
rate is counted by each ingest process for itself: a shared count would cost a round trip per call,
and would be gone with Redis.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from shortlist.ingest.errors import rate_limited
from shortlist.telemetry import REFUSED

if TYPE_CHECKING:
    from shortlist.ingest.http import Call

_MOST_CLIENTS = 100_000
"""Remembered at once, about 20 MB; beyond that those who were quiet for longest are forgotten."""


_ROUNDING = 1e-6
"""Sums of floats: a millionth of a call, or of a second, is not worth a refusal."""


class Quota(NamedTuple):
    """What is left: of how many, how many, and in how many seconds it is whole again."""

    limit: int
    remaining: int
    reset_seconds: float

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """As HTTP says it."""
        return (
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % max(0, self.remaining)),
            (b"ratelimit-reset", b"%d" % math.ceil(self.reset_seconds)),
        )


class ClientRate:
    """A rate with bursts for each client: the generic cell rate algorithm (ITU-T I.371).

    Each client has a theoretical arrival time: when its bucket is full again. A call moves it on by
    one interval, and is refused when it would be further away than the burst allows.
    """

    def __init__(self, per_second: float, burst: int, most_clients: int = _MOST_CLIENTS) -> None:
        """``burst`` calls at once, ``per_second`` in the long run; both above 0."""
        self._interval = 1 / per_second
        self._burst = burst
        self._tolerance = burst * self._interval
        self._full_at: dict[str, float] = {}
        self._most_clients = most_clients

    def take(self, client: str, now: float) -> tuple[float, Quota]:
        """Count one call at ``now`` (seconds, monotonic).

        Returns how long it would have to wait, 0 when it may be now, and what is left.
        """
        full_at = max(self._full_at.pop(client, now), now)
        wait = full_at + self._interval - now - self._tolerance
        if wait <= _ROUNDING:
            full_at, wait = full_at + self._interval, 0.0
        self._full_at[client] = full_at  # at the end: the order is that of the last calls
        if len(self._full_at) > self._most_clients:
            del self._full_at[next(iter(self._full_at))]
        return wait, self._quota(full_at - now)

    def _quota(self, until_full: float) -> Quota:
        remaining = math.floor((self._tolerance - until_full) / self._interval + _ROUNDING)
        return Quota(self._burst, remaining, until_full)


class ClientQuotas:
    """Refuses the calls of clients that call too often."""

    def __init__(self, rate: ClientRate, *, trust_forwarded_for: bool) -> None:
        """``trust_forwarded_for``: a proxy in front appends the client's address."""
        self._rate = rate
        self._trust_forwarded_for = trust_forwarded_for

    def take(self, call: Call, now: float) -> None:
        """Count a call; 429 when it is one too many. ``now`` is monotonic."""
        wait, call.client_quota = self._rate.take(self._client(call), now)
        if wait:
            REFUSED.labels("rate").inc()
            raise rate_limited("You call too often.", wait)

    def _client(self, call: Call) -> str:
        if self._trust_forwarded_for and (chain := call.headers.get(b"x-forwarded-for")):
            # The last one is what our proxy saw; those before it are what the client claims.
            return chain.rpartition(b",")[2].strip().decode("latin-1")
        address = call.scope["client"]
        return address[0] if address else "local"
