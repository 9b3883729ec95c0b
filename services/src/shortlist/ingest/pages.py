"""The dashboard's pages, passed through, so that people need to know one port only."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from shortlist.ingest.errors import not_found, unavailable
from shortlist.ingest.http import Stream

if TYPE_CHECKING:
    from shortlist.ingest.http import Call

_TIMEOUT = httpx.Timeout(10.0, connect=1.0, pool=1.0)
_LIMITS = httpx.Limits(max_connections=32, max_keepalive_connections=8)

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
            else httpx.AsyncClient(
                base_url=dashboard_url, timeout=_TIMEOUT, limits=_LIMITS, trust_env=False
            )
        )

    async def get(self, call: Call) -> Stream:
        """The dashboard's answer; 404 when nobody knows the path, 503 when it does not answer."""
        if self._client is None or call.scope["method"] not in ("GET", "HEAD"):
            raise not_found()
        path = call.scope["raw_path"] + b"?" + call.scope["query_string"]
        request = self._client.build_request(
            call.scope["method"],
            self._client.base_url.copy_with(raw_path=path.rstrip(b"?")),
            headers=[header for header in call.scope["headers"] if header[0] in _PASSED_ON],
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise unavailable("The dashboard does not answer.") from error
        if response.status_code == HTTPStatus.NOT_FOUND:  # our own words: it may be a mistyped call
            await response.aclose()
            raise not_found()
        headers = tuple(
            (name.lower(), value)
            for name, value in response.headers.raw
            if name.lower() not in _NOT_PASSED_BACK
        )
        return Stream(response.status_code, response.aiter_raw(), headers, response.aclose)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
