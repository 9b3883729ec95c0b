"""The watch of a server ends with the last connection, and leaves nothing open."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

from shortlist.embedded.servers import EmbeddedRedis
from shortlist.storage import redis
from support.stack import free_port

if TYPE_CHECKING:
    from pathlib import Path

_LOOPS = 60
_STEP_SECONDS = 0.00004
"""A look takes one or two milliseconds: the client is closed at every moment of one."""


async def _used_for(url: str, seconds: float) -> None:
    client = redis.connect(url)
    await client.ping()
    await asyncio.sleep(seconds)  # until somewhere in the first look
    await client.aclose()


def test_a_client_that_is_closed_in_the_middle_of_a_look_leaves_no_socket_open(
    tmp_path: Path,
) -> None:
    server = EmbeddedRedis(tmp_path, port=free_port())
    server.start()
    try:
        for number in range(_LOOPS):
            asyncio.run(_used_for(f"redis://127.0.0.1:{server.port}/0", number * _STEP_SECONDS))
            gc.collect()  # pytest fails the test that left a socket open
    finally:
        server.stop()
