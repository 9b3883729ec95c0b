"""How a primary fails, and whether our processes have left it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from testkit.faults.whole import WHOLE_AGAIN_SECONDS
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.databases.postgreses import Postgres
    from testkit.databases.switch import Switch

OPEN_ATTEMPTS = """
SELECT count(*) FROM attempts t WHERE outcome IS NULL
AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = t.application_id)
"""
"""How many attempts are under way, as Postgres knows it."""


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


async def takes_over(new: Postgres, name: Switch) -> float:
    """Have a standby take writes, and the name mean it; since when (monotonic seconds) it does."""
    await new.lead()
    name.target = new.port
    return time.monotonic()
