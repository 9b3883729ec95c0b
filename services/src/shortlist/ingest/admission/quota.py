"""What a client may still do, as the headers of its answers say it before it is refused.

The headers are those of the IETF draft "RateLimit header fields for HTTP" in the form that clients
know (draft-ietf-httpapi-ratelimit-headers-06): ``RateLimit-Limit``, ``-Remaining``, ``-Reset``.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Quota(NamedTuple):
    """What is left: of how many, how many, and in how many seconds it is whole again."""

    limit: int
    remaining: int
    reset_seconds: float

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Write the three headers."""
        return (
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % max(0, self.remaining)),
            (b"ratelimit-reset", b"%d" % math.ceil(self.reset_seconds)),
        )
