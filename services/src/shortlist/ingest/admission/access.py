"""Who calls, and whether they may: by a key, or without one on the routes that are for all.

A machine sends ``Authorization: Bearer KEY``. Whatever key is sent is looked at, also where none is
needed: a client that means to use one is told that it does not hold. Who has no key may call what
is public so many times a second, counted for the client's address and for the network around it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from shortlist.domain.hiring.audit import Actor
from shortlist.http.errors import ApiError, rate_limited
from shortlist.telemetry.metrics import REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import Scope as Request

    from shortlist.domain.access import ApiKey, Scope
    from shortlist.ingest.admission.api_keys import ApiKeys
    from shortlist.ingest.admission.quota import Quota
    from shortlist.ingest.admission.rate_limit import ClientRates
    from shortlist.ingest.endpoint import Answer, Call, Handler, Stream, Verbatim
    from shortlist.ingest.routes.listeners import Group

Need: TypeAlias = "Literal['open', 'public'] | frozenset[Scope]"
"""What a route asks for: nothing (``open``), patience (``public``: limited by address), or a key
with one of these scopes."""

WITHOUT_KEY = Actor("key")
"""Who acts without a key, where none is needed."""


class Admitted(NamedTuple):
    """A client that may call; ``quota``: what is left of a public route's limit, if that counts."""

    actor: Actor
    quota: Quota | None = None


class Access:
    """Lets clients in by their keys; everything is open where there are none (``keys`` None)."""

    def __init__(self, keys: ApiKeys | None, limits: Sequence[ClientRates] = ()) -> None:
        """``limits``: of those who call public routes without a key."""
        self._keys = keys
        self._limits = limits

    async def admit(self, request: Request, need: Need) -> Admitted:
        """Say who calls a route.

        Raises:
            ApiError: 401 without a valid key where one is needed, 403 when it lacks the scope, 429
                when a client without a key calls too often.
            DatabaseUnavailableError: Postgres does not say whether the key is valid.
        """
        if self._keys is None or need == "open":
            return Admitted(WITHOUT_KEY)
        sent = _authorization(request)
        if sent is None:
            return self._without_key(request, need)
        key = await _found(self._keys, sent)
        if isinstance(need, frozenset) and need.isdisjoint(key.scopes):
            raise _forbidden(need)
        return Admitted(Actor("key", str(key.id)))

    def _without_key(self, request: Request, need: Need) -> Admitted:
        if need != "public":
            raise _unauthorized("This needs a key: Authorization: Bearer KEY.")
        now = time.monotonic()
        taken = [limit.take(request, now) for limit in self._limits]
        wait = max((wait for wait, _ in taken), default=0.0)
        quota = min((quota for _, quota in taken), key=lambda quota: quota.remaining, default=None)
        if wait:
            REFUSED.labels("rate").inc()
            refusal = rate_limited("Too many calls from here without a key.", wait)
            refusal.headers += quota.headers() if quota else ()
            raise refusal
        return Admitted(WITHOUT_KEY, quota)


async def _found(keys: ApiKeys, sent: str) -> ApiKey:
    scheme, _, key = sent.partition(" ")
    found = await keys.find(key.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise _unauthorized("This key is not valid.", ', error="invalid_token"')
    return found


def _authorization(request: Request) -> str | None:
    """Return what a request shows; None when it shows nothing. Of several the last one counts."""
    values = [value for name, value in request["headers"] if name == b"authorization"]
    return values[-1].decode("latin-1").strip() if values else None


def _unauthorized(message: str, why: str = "") -> ApiError:
    """Make a 401 (RFC 6750, 3)."""
    challenge = f'Bearer realm="shortlist"{why}'
    return ApiError(
        401, "UNAUTHORIZED", message, headers=((b"www-authenticate", challenge.encode()),)
    )


def _forbidden(need: frozenset[Scope]) -> ApiError:
    """Make a 403 (RFC 6750, 3.1)."""
    scopes = sorted(need)
    challenge = f'Bearer realm="shortlist", error="insufficient_scope", scope="{" ".join(scopes)}"'
    return ApiError(
        403,
        "FORBIDDEN",
        f"This key lacks the scope {' or '.join(scopes)}.",
        headers=((b"www-authenticate", challenge.encode()),),
    )


CLOSED: Mapping[Literal["open", "lists", "all"], frozenset[Group]] = {
    "open": frozenset(),
    "lists": frozenset({"leaderboard", "pages"}),
    "all": frozenset({"leaderboard", "pages", "clients"}),
}
"""By ``SHORTLIST_SCORING_AUTH``: the groups of scoring's routes that need the scope ``scoring``."""

_SCORING: Need = frozenset({"scoring"})


class ScoringAccess:
    """Closes groups of scoring's routes to clients without a key."""

    def __init__(self, access: Access, closed: frozenset[Group]) -> None:
        """Close the groups in ``closed``."""
        self._access = access
        self._closed = closed

    def asking(self, group: Group, handle: Handler) -> Handler:
        """Return a handler that lets in who may; the same one for a group that is open."""
        if group not in self._closed:
            return handle

        async def admitted(call: Call) -> Answer | Verbatim | Stream:
            await self._access.admit(call.scope, _SCORING)
            return await handle(call)

        return admitted
