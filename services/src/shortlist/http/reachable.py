"""Whether anything answers where a command's client is to begin."""

from __future__ import annotations

import asyncio

import httpx2

from shortlist.domain.errors import message_of
from shortlist.urls import without_credentials

FIRST_ANSWER_SECONDS = 5.0
"""An ingest whose servers are away answers within 2 s; what has not answered by then is none."""


async def trouble_with(url: str) -> str | None:
    """Say why there is no use in starting; None when it answers within `FIRST_ANSWER_SECONDS`."""
    try:
        async with (
            asyncio.timeout(FIRST_ANSWER_SECONDS),
            httpx2.AsyncClient(base_url=url, timeout=FIRST_ANSWER_SECONDS) as http,
        ):
            await http.get("/readyz")
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        return "--url is no address of an HTTP server, such as http://127.0.0.1:8000."
    except (httpx2.TransportError, TimeoutError) as error:
        reason = message_of(error)
        place = without_credentials(url)
        return f"Nothing answers at {place} ({reason}). Start it with: shortlist up"
    return None
