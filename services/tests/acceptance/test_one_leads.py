"""Maintenance has two replicas and one leader, whatever happens to either of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testkit.databases.servers import flush
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.processes.place import Place
    from testkit.processes.stack import Service

LEADING = "shortlist_maintenance_leading"


async def leader_of(replicas: list[Service]) -> Service | None:
    """The one that says it leads, if exactly one does."""
    leading = [replica for replica in replicas if await replica.metric(LEADING)]
    return leading[0] if len(leading) == 1 else None


async def test_a_frozen_leader_is_replaced_and_steps_down_when_it_goes_on(place: Place) -> None:
    async with place.running("maintenance", "maintenance", "worker", service_seconds=0.05) as run:
        replicas = run.others[:2]

        async def one_leads() -> Service | None:
            return await leader_of(replicas)

        frozen = await until(one_leads, what="one replica leads")
        assert frozen is not None
        frozen.freeze()
        await run.ledger.submit(30)
        await flush(place.redis_url)
        await run.ledger.settle()
        frozen.thaw()
        leader = await until(one_leads, what="one replica leads, again")
        assert leader is not frozen
        await run.ledger.submit(30)
        await flush(place.redis_url)
        await run.ledger.settle()
