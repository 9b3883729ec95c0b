from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testkit.clients.hiring import HiringClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from testkit.processes.ingest import Door

    Opener = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
async def open_api(opening: Opener) -> AsyncIterator[Door]:
    """An ingest as the contract's source is: open to each client."""
    async with opening(auth="off") as door:
        yield door


@pytest.fixture
def hiring(open_api: Door) -> HiringClient:
    return HiringClient(open_api.client)
