"""A local server that speaks Anthropic's Messages API, and misbehaves when asked to.

In a test: ``async with MessagesApi() as api`` and point ``SHORTLIST_ANTHROPIC_BASE_URL`` at
``api.url``. As a process: ``python -m testkit.processes.messages_api --port 8099``. What it does
next is set by `MessagesApi.behave`, or over HTTP by ``POST /behave`` with the JSON of a
`Behaviour`, or for one application by a payload that begins with ``!name`` (``!refusal …``).
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import socket
import struct
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, Self, get_args

from aiohttp import web

from shortlist.worker.scorers.simulated import score_of_payload

Kind = Literal[
    "score",
    "throttled",  # 429 with retry-after
    "spend_limit",  # 429 without, as when the account's money is used up
    "overloaded",  # 529
    "refusal",
    "cut_off",  # max_tokens
    "malformed",  # text that is not the JSON that was asked for
    "out_of_range",
    "nul_reply",  # a rationale with a character that Postgres cannot hold
    "not_a_message",  # 200 with a proxy's HTML
    "slow",
    "bad_request",
    "unauthorized",
    "forbidden",
    "no_such_model",
    "no_credit",  # 400, as for an account without money
    "billing",
    "too_large",
    "server_error",
    "error",  # `status`, `error` and `code` say which
    "page",  # an HTML page of a proxy, with `status`
    "reset",  # the connection is reset before any answer
    "torn",  # … and in the middle of one
]

_ERRORS: dict[str, tuple[int, str, str]] = {
    "throttled": (429, "rate_limit_error", "This request would exceed your rate limit"),
    "spend_limit": (429, "rate_limit_error", "You have reached your API usage limits"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "bad_request": (400, "invalid_request_error", "messages: this text is not taken"),
    "unauthorized": (401, "authentication_error", "invalid x-api-key"),
    "forbidden": (403, "permission_error", "Your API key does not have permission"),
    "no_such_model": (404, "not_found_error", "model: claude-retired"),
    "no_credit": (400, "invalid_request_error", "Your credit balance is too low"),
    "billing": (402, "billing_error", "There is an issue with your billing"),
    "too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "server_error": (500, "api_error", "Internal server error"),
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to a request. ``headers`` are added to whatever is answered."""

    kind: Kind = "score"
    retry_after: str | None = None
    service_seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 400
    error: str = "invalid_request_error"
    code: str | None = None
    message: Any = "as the test says"
    times: int | None = None
    """How many requests it holds for; None: until the next order."""


@dataclass
class MessagesApi:
    """The server. ``requests`` keeps what was asked, newest last, for a test to look at."""

    host: str = "127.0.0.1"
    port: int = 0
    default: Behaviour = field(default_factory=Behaviour)
    requests: list[dict[str, Any]] = field(default_factory=list)
    cancelled: int = 0
    """Requests whose client went away before it was answered."""
    in_flight: int = 0

    def __post_init__(self) -> None:
        """Nothing listens yet."""
        self._orders: list[Behaviour] = []
        self._numbers = count(1)

    @property
    def url(self) -> str:
        """What to give to the SDK as its base URL."""
        return f"http://{self.host}:{self.port}"

    def behave(self, kind: Kind, **fields: Any) -> None:
        """From the next request on; with ``times`` for so many, and then as before."""
        self._order(Behaviour(kind, **fields))

    def _order(self, behaviour: Behaviour) -> None:
        if behaviour.times is None:
            self._orders.clear()
            self.default = behaviour
        else:
            self._orders.extend([behaviour] * behaviour.times)

    async def __aenter__(self) -> Self:
        """Listen."""
        app = web.Application()
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/behave", self._behave)
        app.router.add_get("/stats", self._stats)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close, with whatever is still being answered."""
        await self._runner.cleanup()

    async def _behave(self, request: web.Request) -> web.Response:
        self._order(Behaviour(**await request.json()))
        return web.json_response(dataclasses.asdict(self.default))

    async def _stats(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "requests": len(self.requests),
                "cancelled": self.cancelled,
                "in_flight": self.in_flight,
            }
        )

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append({"body": body, "headers": headers})
        self.in_flight += 1
        try:
            return await self._answer(request, body)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        payload = json.loads(body["messages"][0]["content"])["application"]
        behaviour = self._next(payload)
        await asyncio.sleep(3600 if behaviour.kind == "slow" else behaviour.service_seconds)
        headers = {"request-id": f"req_{next(self._numbers):06}", **behaviour.headers}
        if behaviour.retry_after is not None:
            headers["retry-after"] = behaviour.retry_after
        if behaviour.kind in _ERRORS or behaviour.kind == "error":
            return _error(behaviour, headers)
        if behaviour.kind == "page":
            text = f"<html>{behaviour.status} by a proxy</html>"
            return web.Response(
                text=text, status=behaviour.status, headers=headers, content_type="text/html"
            )
        if behaviour.kind == "not_a_message":
            return web.Response(text="<html>hello</html>", content_type="text/html")
        if behaviour.kind in {"reset", "torn"}:
            return await _break(request, torn=behaviour.kind == "torn")
        return web.json_response(_message(behaviour.kind, body["model"], payload), headers=headers)

    def _next(self, payload: str) -> Behaviour:
        word = payload.split(maxsplit=1)[0].removeprefix("!") if payload.startswith("!") else ""
        if word in get_args(Kind):
            return Behaviour(word)  # type: ignore[arg-type]
        return self._orders.pop(0) if self._orders else self.default


def _error(behaviour: Behaviour, headers: dict[str, str]) -> web.Response:
    status, error_type, message = _ERRORS.get(
        behaviour.kind, (behaviour.status, behaviour.error, behaviour.message)
    )
    error: dict[str, Any] = {"type": error_type, "message": message}
    code = "enforced_spend_limit_reached" if behaviour.kind == "spend_limit" else behaviour.code
    if code is not None:
        error["details"] = {"error_code": code}
    body = {"type": "error", "error": error, "request_id": headers["request-id"]}
    return web.json_response(body, status=status, headers=headers)


def _message(kind: Kind, model: str, payload: str) -> dict[str, Any]:
    score = 1000.0 if kind == "out_of_range" else score_of_payload(payload)
    rationale = "It says \0." if kind == "nul_reply" else "It depends on the payload alone."
    text = json.dumps({"rationale": rationale, "score": score})
    if kind == "cut_off":
        text = text[:20]
    if kind == "malformed":
        text = "I would give this candidate a solid 80!"
    stop_reasons = {"cut_off": "max_tokens", "refusal": "refusal"}
    return {
        "id": "msg_local",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [] if kind == "refusal" else [{"type": "text", "text": text}],
        "stop_reason": stop_reasons.get(kind, "end_turn"),
        "stop_sequence": None,
        "usage": {"input_tokens": 400 + len(payload) // 4, "output_tokens": 40},
    }


async def _break(request: web.Request, *, torn: bool) -> web.StreamResponse:
    """Reset the connection (RST rather than FIN), before an answer or in the middle of it."""
    response = web.StreamResponse(headers={"content-length": "1000"})
    if torn:
        await response.prepare(request)
        await response.write(b'{"id": "msg_')
    assert request.transport is not None
    request.transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    request.transport.abort()
    return response


async def _serve(port: int, default: Behaviour) -> None:
    async with MessagesApi(port=port, default=default) as api:
        print(api.url, flush=True)  # noqa: T201 (its parent reads the port here)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--kind", choices=get_args(Kind), default="score")
    parser.add_argument("--service-seconds", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, Behaviour(arguments.kind, None, arguments.service_seconds)))
