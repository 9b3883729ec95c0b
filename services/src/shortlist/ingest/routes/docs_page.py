"""The OpenAPI document: ``GET /openapi.json`` for programs, ``GET /docs`` as one page for people.

The page is plain HTML made from the document, with its style from this process: it needs no
internet, no script and no third party's code. The document is made when it is first asked for; what
it says of ``/api`` is made from FastAPI's routes.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from shortlist.http.security_headers import SECURITY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from starlette.requests import Request

    from shortlist.ingest.api.gateway import Gateway

_STYLE = """\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code { font: 0.9em ui-monospace, monospace; overflow-wrap: anywhere; }
section { border-top: 1px solid; padding: 0.5rem 0 1rem; }
h3 { margin-bottom: 0; }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem 1.5rem; }
"""


def routes(paths: Collection[str], hiring: Gateway | None) -> list[Route]:
    """Make the routes of the document of these paths, of its page and the page's style.

    ``hiring`` describes its own paths; None: they are not served here.
    """
    made: list[dict[str, Any]] = []  # once: that takes milliseconds

    async def described() -> dict[str, Any]:
        parts = None if hiring is None else (await hiring.hiring()).describe()
        if not made:
            made.append(_document(paths, parts))
        return made[0]

    async def document(_: Request) -> Response:
        return JSONResponse(await described())

    async def docs(_: Request) -> Response:
        return HTMLResponse(page(await described()), headers=SECURITY_HEADERS)

    async def style(_: Request) -> Response:
        return Response(_STYLE, media_type="text/css", headers=SECURITY_HEADERS)

    return [
        Route("/openapi.json", document, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
        Route("/docs/style.css", style, methods=["GET"]),
    ]


def _document(paths: Collection[str], hiring: dict[str, Any] | None) -> dict[str, Any]:
    from importlib.metadata import version  # noqa: PLC0415 (not light, and needed here only)

    from shortlist.ingest.routes import openapi  # noqa: PLC0415 (as above)

    return openapi.document("Shortlist", version("shortlist"), paths, hiring)


def page(document: dict[str, Any]) -> str:
    """Write the whole page."""
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    operations = [
        _operation(path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    types = [_type(name, schema) for name, schema in document["components"]["schemas"].items()]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="/docs/style.css"></head>'
        f'<body><h1>{title}</h1><p>For programs: <a href="/openapi.json">OpenAPI</a>.</p>'
        f"<h2>Calls</h2>{''.join(operations)}<h2>Types</h2>{''.join(types)}</body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {})
    sent = [(p["name"], f"{p['in']}, {_schema(p['schema'])}") for p in operation["parameters"]]
    sent += [("body", _schema(content["schema"])) for content in body.values()]
    answers = [(status, _answer(answer)) for status, answer in operation["responses"].items()]
    return (
        f"<section><h3><code>{method.upper()} {escape(path)}</code></h3>"
        f"<p>{escape(operation['summary'])}</p>{_list(sent)}{_list(answers)}</section>"
    )


def _answer(answer: dict[str, Any]) -> str:
    content = [f"{kind}: {_schema(of['schema'])}" for kind, of in answer.get("content", {}).items()]
    return "; ".join([escape(answer["description"]), *content, *answer.get("headers", {})])


def _type(name: str, schema: dict[str, Any]) -> str:
    fields = [(field, _schema(of)) for field, of in schema.get("properties", {}).items()]
    anchor = f'<h3 id="{escape(name)}"><code>{escape(name)}</code></h3>'
    return (
        f"<section>{anchor}<p>{escape(schema.get('description', ''))}</p>{_list(fields)}</section>"
    )


def _schema(schema: dict[str, Any]) -> str:
    """Write a schema in one line; a named type is a link."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if schema.get("type") == "array":
        return f"list of {_schema(schema['items'])}"
    if "anyOf" in schema:
        return " or ".join(_schema(one) for one in schema["anyOf"])
    return f"<code>{escape(json.dumps(schema, ensure_ascii=False))}</code>"


def _list(rows: Iterable[tuple[str, str]]) -> str:
    """Write a list of names, which are escaped here, and HTML."""
    items = "".join(f"<dt><code>{escape(name)}</code></dt><dd>{html}</dd>" for name, html in rows)
    return f"<dl>{items}</dl>" if items else ""
