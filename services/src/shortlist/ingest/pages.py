"""The dashboard's pages, passed through, so that people need to know one port only.

A page is read whole before any of it is passed on: so one deadline holds for all of it, a slow
browser holds none of the few connections to the dashboard, and a dashboard that stops in the middle
of a page is a clean 503.
"""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from shortlist.ingest.errors import not_found, unavailable
from shortlist.ingest.http import Verbatim

if TYPE_CHECKING:
    from shortlist.ingest.http import Call

_ANSWER_SECONDS = 1.8
"""For the whole page, from when it was asked for; the dashboard itself gives up after 1.7 s."""

_PAGE_LIMIT_BYTES = 4_194_304
"""Of one page; the largest of the dashboard's has a hundredth of it."""

_LIMITS = httpx2.Limits(max_connections=32, max_keepalive_connections=8)

_PASSED_ON = frozenset(
    {b"accept", b"accept-encoding", b"accept-language", b"if-modified-since", b"if-none-match"}
)
_NOT_PASSED_BACK = frozenset(
    # RFC 9110, 7.6.1: these are about one connection; our server adds its own date.
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
     b"upgrade", b"date", b"server"}
)  # fmt: skip


class Pages:
    """Whatever this process does not know, if the dashboard does."""

    def __init__(self, dashboard_url: str | None) -> None:
        """Without a URL there are no pages."""
        self._client = (
            None
            if dashboard_url is None
            else httpx2.AsyncClient(
                base_url=dashboard_url, timeout=_ANSWER_SECONDS, limits=_LIMITS, trust_env=False
            )
        )

    async def get(self, call: Call) -> Verbatim:
        """The dashboard's answer; 404 for paths that it does not know, 503 when it is late."""
        if self._client is None or call.scope["method"] not in ("GET", "HEAD"):
            raise not_found()
        try:
            async with asyncio.timeout(call.since + _ANSWER_SECONDS - time.monotonic()):
                page = await _fetch(self._client, call)
        except (httpx2.HTTPError, TimeoutError) as error:
            raise unavailable("The dashboard does not answer.") from error
        if page.status == HTTPStatus.NOT_FOUND:  # our own words: it may be a mistyped call
            raise not_found()
        return page

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
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
        if len(body) > _PAGE_LIMIT_BYTES:
            raise unavailable("The dashboard's page is too long.")
    return body
