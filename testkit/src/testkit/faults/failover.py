"""How a primary fails, and whether our processes have left it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from testkit.faults.whole import (
    NOTICED_SECONDS,
    WHOLE_AGAIN_SECONDS,
    is_whole_since,
    says_the_truth,
)
from testkit.operator.process import operator_says
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testkit.databases.postgreses import Postgres
    from testkit.operator.api_server import ApiServer
    from testkit.processes.place import Running
    from testkit.processes.stack import Service

OPEN_ATTEMPTS = """
SELECT count(*) FROM attempts t WHERE outcome IS NULL
AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id)
"""
"""How many attempts are under way, as Postgres knows it."""


LEFT_AS_IT_IS = "left as it is"
"""The old primary stays up and takes writes; only the way to it changes."""

UNDER_WAY = 30
"""Applications that wait or are being scored when it happens."""


async def breaks(old: Postgres, how: str) -> None:
    """Let a primary take no more writes."""
    if how == "read-only":
        await old.take_no_writes()
    elif how == "frozen":
        old.freeze()
    else:
        assert how == "killed"
        old.kill()


async def is_left_alone(old: Postgres, since: float) -> None:
    """No process of ours has a connection to it any more."""

    await old.is_left_alone(since + WHOLE_AGAIN_SECONDS - time.monotonic())


async def is_used(new: Postgres, since: float, name: str) -> None:
    """A process of ours, by the name of its connections, has one to it."""

    async def look() -> bool:
        sql = f"SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '{name}'"
        return bool(await new.ask(sql))

    left_seconds = since + WHOLE_AGAIN_SECONDS - time.monotonic()
    await until(look, within_seconds=left_seconds, what=f"{name} uses the new server")


class Way(Protocol):
    """How clients come to a server: a name, or a pooler."""

    async def lead_to(self, port: int) -> None:
        """Lead to another server from now on."""


async def takes_over(new: Postgres, way: Way) -> float:
    """Have a standby take writes, and clients come to it; since when (monotonic seconds)."""
    await new.lead()
    await way.lead_to(new.port)
    return time.monotonic()


async def fails_over(
    old: Postgres,
    new: Postgres,
    way: Way,
    how: str,
    noticed: Callable[[], Awaitable[None]] | None = None,
) -> float:
    """Have the standby take over from its primary; since when (monotonic seconds).

    ``how``: what the primary does meanwhile, one of `breaks`, or `LEFT_AS_IT_IS`. ``noticed``:
    waits, while no server takes writes, until a process says so.
    """
    await new.has_all_of(old)
    if how != LEFT_AS_IT_IS:
        await breaks(old, how)
        if noticed is not None:
            await noticed()
    if how == "read-only":
        await new.has_all_of(old)
    since = await takes_over(new, way)
    if how == LEFT_AS_IT_IS:
        await is_left_alone(old, since)
    return since


async def all_fail_over(run: Running, old: Postgres, new: Postgres, way: Way, how: str) -> None:
    """Have all processes go on with the standby: they notice, and are whole again in time."""
    notice = partial(says_the_truth, run, postgres=False, within_seconds=NOTICED_SECONDS)
    await run.ledger.submit(UNDER_WAY)
    await is_whole_since(run, await fails_over(old, new, way, how, notice))


async def operator_goes_on(api: ApiServer, operator: Service, new: Postgres, since: float) -> None:
    """Wait until the operator works with the new primary, as the process that it was."""
    await operator_says(api, "True", since + WHOLE_AGAIN_SECONDS - time.monotonic())
    await is_used(new, since, "shortlist-operator")
    assert not operator.deaths
