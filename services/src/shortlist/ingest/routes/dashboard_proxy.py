"""The dashboard's pages, passed through, so that people need to know one port only.

A page is read whole before any of it is passed on: so one deadline holds for all of it, a slow
browser holds none of the few connections to the dashboard, and a dashboard that stops in the middle
of a page is a clean 503.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING

from shortlist.http.errors import not_found, unavailable

if TYPE_CHECKING:
    from shortlist.ingest.endpoint import Call, Verbatim
    from shortlist.ingest.routes.page_client import PageClient

_ANSWER_SECONDS = 1.4
"""For the whole page, from when it was asked for; the dashboard itself gives up after 1.3 s."""


class DashboardProxy:
    """Passes requests for unknown paths to the dashboard."""

    def __init__(self, dashboard_url: str | None) -> None:
        """Without a URL there are no pages."""
        self._dashboard_url = dashboard_url
        self._client: PageClient | None = None

    async def get(self, call: Call) -> Verbatim:
        """Answer as the dashboard does; 404 for paths that it does not know, 503 if it is late."""
        if self._dashboard_url is None or not _may_be_a_page(call):
            raise not_found()
        page = None
        with suppress(TimeoutError):
            async with asyncio.timeout(call.since + _ANSWER_SECONDS - time.monotonic()):
                page = await (await self._opened(self._dashboard_url)).get(call)
        if page is None:
            raise unavailable("The dashboard does not answer.")
        if page.status == HTTPStatus.NOT_FOUND:  # our own words: it may be a mistyped call
            raise not_found()
        return page

    async def _opened(self, dashboard_url: str) -> PageClient:
        """Return the client; its first use imports it in a thread, so that others are answered."""
        if self._client is not None:
            return self._client
        module = await asyncio.to_thread(import_module, "shortlist.ingest.routes.page_client")
        self._client = self._client or module.PageClient(dashboard_url, _ANSWER_SECONDS)
        assert self._client is not None
        return self._client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()


def _may_be_a_page(call: Call) -> bool:
    """Tell whether the dashboard may be asked.

    ``/a/../metrics`` would reach it as ``/metrics``, its own: it means the same here.
    """
    steps = {".", ".."}.intersection(call.scope["path"].split("/"))
    return call.scope["method"] in ("GET", "HEAD") and not steps
