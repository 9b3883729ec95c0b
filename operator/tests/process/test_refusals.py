"""The operator as a process, and an API server that says no to everything."""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from testkit.operator.api_server import ApiServer, refusal
from testkit.operator.kubeconfig import kubeconfig
from testkit.processes.stack import Service, status_of
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from testkit.operator.api_server import Call

pytestmark = pytest.mark.slow

KOPF_GIVES_UP_AFTER = 9
"""Attempts, by default; then it would end, and the process with it."""


async def unavailable(_: Call) -> web.StreamResponse:
    return refusal(503, "etcd has no leader")


async def test_an_api_server_that_refuses_for_long_does_not_end_it(tmp_path: Path) -> None:
    async with ApiServer() as server:
        server.arriving = unavailable
        operator = Service("operator", "operator", environment(server, tmp_path), tmp_path)
        operator.spawn()
        try:

            async def has_tried() -> bool:
                assert operator.alive, operator.tail()
                return f"Request attempt #{KOPF_GIVES_UP_AFTER + 1} failed" in operator.log

            await until(has_tried, what="kopf goes on trying")
            assert await status_of(f"{operator.url}/healthz") == HTTPStatus.OK  # no restart helps
        finally:
            operator.bury()


def environment(server: ApiServer, directory: Path) -> dict[str, str]:
    return kubeconfig(server.url, directory) | {
        "PATH": os.environ["PATH"],
        "SHORTLIST_HOST": "127.0.0.1",
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1",
    }
