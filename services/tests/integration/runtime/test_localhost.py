"""`localhost` is 127.0.0.1 to some clients and ::1 to others: both are answered."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shortlist.http import local
from shortlist.runtime import http_server
from shortlist.settings import Settings
from testkit.processes.stack import free_port

if TYPE_CHECKING:
    from starlette.requests import Request


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", hello, methods=["GET", "POST"])])


async def both_are_answered(host: str = "127.0.0.1") -> None:
    async with (
        http_server.serve(APP, Settings(host=host, port=0)) as server,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        for address in ("127.0.0.1", "[::1]"):
            url = f"http://{address}:{server.port}/"
            assert (await client.get(url)).text == "hello"
            foreign = {"origin": "https://evil.example"}
            assert (await client.post(url, headers=foreign)).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_both_addresses_of_localhost_are_answered(host: str) -> None:
    await both_are_answered(host)


async def test_off_switch_without_its_twin_it_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "loopback_twin", lambda *_: None)
    with pytest.raises(httpx2.ConnectError):
        await both_are_answered()


async def test_a_process_starts_where_the_other_address_is_taken() -> None:
    port = free_port()
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        async with (
            http_server.serve(APP, Settings(host="127.0.0.1", port=port)),
            httpx2.AsyncClient(trust_env=False) as client,
        ):
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "hello"


def test_a_listener_elsewhere_has_no_twin() -> None:
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        assert local.loopback_twin(everywhere, 1) is None
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as v6:
        assert local.loopback_twin(v6, 1) is None
