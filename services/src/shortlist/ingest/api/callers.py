"""What a route's function is given: who acts, by which idempotency key, and hiring's parts."""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request

from shortlist.hiring.acts import Acts
from shortlist.hiring.by import By, Once
from shortlist.hiring.reading import Views
from shortlist.http.connections import ConnectionTable
from shortlist.ingest.api.event_feed import EventFeed
from shortlist.ingest.api.scoring import Scoring
from shortlist.ingest.schemas import idempotency_key
from shortlist.storage.postgres.database import Database

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Parts:
    """Hiring's parts of this process."""

    acts: Acts
    views: Views
    feed: EventFeed
    scoring: Scoring
    connections: ConnectionTable
    database: Database


def parts_of(request: Request) -> Parts:
    """Return hiring's parts."""
    parts: Parts = request.app.state.parts
    return parts


def caller_of(request: Request, sent: bytes) -> By:
    """Return who acts; ``sent``: the request's body, JSON or empty.

    Raises:
        ApiError: 400, its idempotency key cannot be one.
    """
    actor = request.state.admitted.actor
    key = idempotency_key(dict(request.scope["headers"]))
    if key is None:
        return By(actor)
    route = f"{request.method} {request.scope['route'].path}"
    return By(actor, Once(key, route, _meaning(request, sent)))


async def _parts(request: Request) -> Parts:
    return parts_of(request)


Here = Annotated[Parts, Depends(_parts)]
"""A parameter of a route: hiring's parts."""


async def _acting(request: Request) -> By:
    has_body = request.scope["route"].body_field is not None
    return caller_of(request, await request.body() if has_body else b"")


def _meaning(request: Request, sent: bytes) -> bytes:
    """Hash what a request asks for, however its JSON was laid out: 16 bytes."""
    document: Any = msgspec.json.decode(sent) if sent else None
    meaning = [request.url.path, request.url.query, document]
    return hashlib.blake2b(_encode(meaning), digest_size=16).digest()


Acting = Annotated[By, Depends(_acting)]
"""A parameter of a route that changes something: who acts, and by which idempotency key."""
