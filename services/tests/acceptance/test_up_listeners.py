"""`shortlist up` says where each of its listeners is, and what is for staff is there alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx2
import pytest

from testkit.clients.prober import ask
from testkit.processes.stack import free_port
from testkit.processes.up import running
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

PAGES = ("/", "/leaderboard", "/docs", "/metrics", "/healthz", "/job")


async def statuses(port: int) -> dict[str, int]:
    return {page: await asyncio.to_thread(ask, port, page) for page in PAGES}


async def test_up_says_where_each_listener_is(tmp_path: Path) -> None:
    private, health = free_port(), free_port()
    with running(
        tmp_path, SHORTLIST_PRIVATE_PORT=f"{private}", SHORTLIST_METRICS_PORT=f"{health}"
    ) as up:
        public = int((await up.ready()).rpartition(":")[2])
        await up.said(f"Probes and metrics are at http://127.0.0.1:{health}.")
        await up.said(f"Leaderboards and pages are at http://127.0.0.1:{private} only.")

        async def has_pages() -> bool:
            return await asyncio.to_thread(ask, private, "/") == 200

        await until(has_pages, what="the dashboard is there")
        for_staff = dict.fromkeys(("/", "/leaderboard", "/docs", "/metrics"), 404)
        assert await statuses(public) == {**for_staff, "/healthz": 200, "/job": 405}
        for_staff = dict.fromkeys(for_staff, 200)
        assert await statuses(private) == {**for_staff, "/healthz": 200, "/job": 405}
        assert await statuses(health) == {
            **dict.fromkeys(PAGES, 404), "/metrics": 200, "/healthz": 200,
        }  # fmt: skip


async def test_off_switch_without_a_private_port_all_is_public(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        public = int((await up.ready()).rpartition(":")[2])
        async with httpx2.AsyncClient(trust_env=False) as client:  # what localhost is to some
            assert (await client.get(f"http://[::1]:{public}/healthz")).status_code == 200
        await up.said("Probes and metrics are at http://127.0.0.1:")
        assert "Leaderboards" not in up.output
        found = await statuses(public)
        assert (found["/leaderboard"], found["/docs"], found["/metrics"]) == (200, 200, 404)
