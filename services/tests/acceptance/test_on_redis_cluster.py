"""The whole path on a real Redis Cluster, by its URL; a node's memory and a node may be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from shortlist.domain.application import ConnectionMode
from support.valkeys import cluster
from support.whole import everything, is_whole, says_the_truth

if TYPE_CHECKING:
    from pathlib import Path

MODES = get_args(ConnectionMode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_on_redis_cluster(tmp_path: Path, database_url: str, mode: str) -> None:
    async with cluster(tmp_path, replicas=3) as nodes:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes[:2])
        async with everything(tmp_path, database_url, f"redis+cluster://{hosts}", mode) as run:
            slot = await nodes[0].ask("CLUSTER", "KEYSLOT", "{default}")
            number = slot * 3 // 16384
            await run.ledger.submit(30)
            await nodes[number].ask("FLUSHALL")  # the line's node alone forgets
            await is_whole(run)
            replica = nodes[3 + number]
            await replica.has_all_of(nodes[number])
            nodes[number].kill()
            await replica.leads()
            await says_the_truth(run)
            await is_whole(run)
