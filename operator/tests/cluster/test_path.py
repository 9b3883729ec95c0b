"""Applications go the whole way, and the workers follow the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.pipelines import Pipelines

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


async def test_applications_are_scored_end_to_end(pipelines: Pipelines) -> None:
    pipeline = await pipelines.make()
    await pipeline.submit(20)
    books = await pipeline.settle()
    assert len(books) == 20
    assert (await pipeline.condition("Ready"))["status"] == "True"
