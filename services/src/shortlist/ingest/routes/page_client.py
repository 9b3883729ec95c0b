"""The dashboard's client: one page, read whole.

Apart from `pages`, because the library takes a tenth of ingest's start: `pages` imports it for the
first page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from shortlist.http.errors import unavailable
from shortlist.ingest.endpoint import Verbatim

if TYPE_CHECKING:
    from shortlist.ingest.endpoint import Call

PAGE_LIMIT_BYTES = 4_194_304
"""Of one page; the largest of the dashboard's has a hundredth of it."""

_LIMITS = httpx2.Limits(max_connections=32, max_keepalive_connections=8)

_PASSED_ON = frozenset(
    {b"accept", b"accept-encoding", b"accept-language", b"if-modified-since", b"if-none-match"}
)
_NOT_PASSED_BACK = frozenset(
    # RFC 9110, 7.6.1: these are about one connection; our server adds its own date.
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"date",
        b"server",
    }
)


class PageClient:
    """Asks the dashboard for pages."""

    def __init__(self, dashboard_url: str, timeout_seconds: float) -> None:
        """Connect when first asked."""
        self._client = httpx2.AsyncClient(
            base_url=dashboard_url, timeout=timeout_seconds, limits=_LIMITS, trust_env=False
        )

    async def get(self, call: Call) -> Verbatim | None:
        """Return the dashboard's answer to a call; None when there is none."""
        try:
            return await _fetch(self._client, call)
        except httpx2.HTTPError:
            return None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def _fetch(client: httpx2.AsyncClient, call: Call) -> Verbatim:
    path = call.scope["raw_path"] + b"?" + call.scope["query_string"]
    request = client.build_request(
        call.scope["method"],
        client.base_url.copy_with(raw_path=path.rstrip(b"?")),
        headers=[header for header in call.scope["headers"] if header[0] in _PASSED_ON],
    )
    response = await client.send(request, stream=True)
    try:
        body = await _read(response)
    finally:
        await response.aclose()
    headers = tuple(
        (name.lower(), value)
        for name, value in response.headers.raw
        if name.lower() not in _NOT_PASSED_BACK
    )
    return Verbatim(response.status_code, body, headers)


async def _read(response: httpx2.Response) -> bytes:
    body = b""
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > PAGE_LIMIT_BYTES:
            raise unavailable("The dashboard's page is too long.")
    return body
