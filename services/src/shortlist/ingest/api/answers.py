"""Answers as bytes: what hiring returns is of the right types already, and is checked no more."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic_core import to_json
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from shortlist.hiring.reading import Listed

_HEADERS = {"cache-control": "no-store"}


def answer(
    value: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    """Answer with views as JSON, under the contract's names."""
    body = to_json(value, by_alias=True)
    return Response(body, status, {**_HEADERS, **(headers or {})}, "application/json")


def listed(request: Request, items: Listed[Any]) -> Response:
    """Answer with a list, how long all of it is, and where it goes on, if it does."""
    return linked(request, items.items, total=items.total, following=items.next)


def linked(
    request: Request, value: Any, *, total: int | None = None, following: str | None
) -> Response:
    """Answer with views, and with a link to those behind them.

    ``following``: what ``after`` is for the page behind this one; None: there is none.
    """
    headers = {} if total is None else {"x-total-count": str(total)}
    if following is not None:
        query = urlencode([*_asked(request), ("after", following)])
        # Relative (RFC 8288, 3.1), so that it is right behind a proxy with a path of its own.
        last_segment = request.url.path.rpartition("/")[2]
        headers["link"] = f'<{last_segment}?{query}>; rel="next"'
    return answer(value, headers=headers)


def _asked(request: Request) -> list[tuple[str, str]]:
    """Return the query's parameters, without where the page before ended."""
    return [one for one in request.query_params.multi_items() if one[0] != "after"]
