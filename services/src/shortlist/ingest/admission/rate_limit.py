"""How often a client may call.

A rate is counted by each ingest process for itself: a shared count would cost a round trip per
call, and would be gone with Redis. A client is a network: see `shortlist.domain.networks`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from shortlist.domain.networks import LOCAL, network_around
from shortlist.ingest.admission.quota import Quota

if TYPE_CHECKING:
    from starlette.types import Scope

    from shortlist.domain.networks import Proxies

_MOST_CLIENTS = 50_000
"""Remembered at once: 250 bytes each (name, float, entry of the ordered table), 12 MB. Beyond that
those that were quiet for longest are forgotten, and may call as if they were new."""
_FORWARDED_FOR = b"x-forwarded-for"

_ROUNDING = 1e-6
"""Sums of floats: a millionth of a call, or of a second, is not worth a refusal."""


class ClientRate:
    """Limits each client to a rate with bursts: generic cell rate algorithm (ITU-T I.371).

    Each client has a theoretical arrival time: when its bucket is full again. A call moves it on by
    one interval, and is refused when it would be further away than the burst allows.
    """

    def __init__(self, per_second: float, burst: int, most_clients: int = _MOST_CLIENTS) -> None:
        """``burst`` calls at once, ``per_second`` in the long run; both above 0."""
        self._interval = 1 / per_second
        self._burst = burst
        self._tolerance = burst * self._interval
        # A dict forgets its oldest entry in linear time once many were moved to its end.
        self._full_at: OrderedDict[str, float] = OrderedDict()
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
            self._full_at.popitem(last=False)
        return wait, self._quota(full_at - now)

    def _quota(self, until_full: float) -> Quota:
        remaining = math.floor((self._tolerance - until_full) / self._interval + _ROUNDING)
        return Quota(self._burst, remaining, until_full)


class ClientRates:
    """Counts the calls of each client, by its network."""

    def __init__(
        self, rate: ClientRate, proxies: Proxies, ipv6_prefix: int, ipv4_prefix: int = 32
    ) -> None:
        """``proxies``: who in front of us may say who a client is. The prefixes: bits of one."""
        self._rate = rate
        self._proxies = proxies
        self._prefixes = (ipv6_prefix, ipv4_prefix)

    def take(self, scope: Scope, now: float) -> tuple[float, Quota]:
        """Count a request at ``now`` (seconds, monotonic); returns what `ClientRate.take` does."""
        return self._rate.take(self._client(scope), now)

    def _client(self, scope: Scope) -> str:
        peer = scope["client"]
        if not peer:
            return LOCAL
        client: str = peer[0]
        if self._proxies.may_speak_for_others(client):
            lines = [value for name, value in scope["headers"] if name == _FORWARDED_FOR]
            client = self._proxies.client(client, b",".join(lines).decode("latin-1"))
        return network_around(client, *self._prefixes)
