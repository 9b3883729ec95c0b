"""Faults of Postgres and Redis: away, in the wrong state, replaced by another server, refusing."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

from testkit.databases.servers import flush, terminate_backends
from testkit.faults.chaos.fault import fault
from testkit.faults.chaos.site import start
from testkit.faults.whole import WHOLE_AGAIN_SECONDS
from testkit.proxies.postgres import EVERYONES, SERVERS
from testkit.proxies.redis import ERRORS

if TYPE_CHECKING:
    from testkit.databases.postgreses import Postgres
    from testkit.databases.valkeys import Valkey
    from testkit.faults.chaos.chaos import Chaos

STEPS = (
    "applications.accept", "applications.views", "claims.claim", "claims.complete",
    "claims.end_attempt", "recovery.unfinished", "recovery.observe", "workers.dead", "leases.renew",
    "retries.take_due",
)  # fmt: skip
"""Of `SQL`: what ingest, workers and maintenance do with Postgres."""

WRITES = (
    "applications.accept", "claims.claim", "claims.complete", "claims.end_attempt",
    "claims.postpone",
)  # fmt: skip
COMMANDS = ("*", "XREADGROUP", "XACK", "HSET", "INCRBY", "XINFO")
DISK_FULL = "53100"


async def _lasts(chaos: Chaos) -> str:
    seconds = chaos.seconds()
    await asyncio.sleep(seconds)  # how long the fault lasts
    return f"{seconds:.1f} s"


@fault("time")
async def restart_redis(chaos: Chaos) -> str:
    how = chaos.draw((signal.SIGTERM, signal.SIGKILL))
    await chaos.site.valkey.stop(how)
    seconds = await _lasts(chaos)
    await start(chaos.clocks, chaos.site.valkey)
    return f"{how.name}, {seconds}"


@fault("time")
async def empty_redis(chaos: Chaos) -> str:
    await flush(chaos.site.valkey.url)
    return ""


@fault("time")
async def freeze_redis(chaos: Chaos) -> str:
    chaos.site.valkey.freeze()
    seconds = await _lasts(chaos)
    chaos.site.valkey.thaw()
    return seconds


@fault("time")
async def redis_refuses(chaos: Chaos) -> str:
    command, error = chaos.draw(COMMANDS), chaos.draw(ERRORS)
    with chaos.site.valkey_proxy.refusing(command, error) as refusal:
        seconds = await _lasts(chaos)
    return f"{command} with {error.split()[0]}, {refusal.said} times, {seconds}"


@fault("time")
async def redis_fails_over(chaos: Chaos) -> str:
    how = chaos.draw(("demoted", "frozen", "killed", "left as it is"))
    old, new = chaos.site.valkey, await chaos.site.replica()
    await _leave_valkey(old, how, new)
    await new.lead()
    chaos.site.become_valkey(new)
    if how == "left as it is":
        await old.is_left_alone(WHOLE_AGAIN_SECONDS)
    old.kill()
    return how


async def _leave_valkey(old: Valkey, how: str, new: Valkey) -> None:
    if how == "demoted":
        await old.follow(new.port)  # each follows the other: none takes writes
    elif how == "frozen":
        old.freeze()
    elif how == "killed":
        old.kill()


@fault("time", "commits")
async def restart_postgres(chaos: Chaos) -> str:
    how = chaos.draw((signal.SIGINT, signal.SIGQUIT))
    await chaos.site.postgres.stop(how)
    seconds = await _lasts(chaos)
    await start(chaos.clocks, chaos.site.postgres)
    return f"{how.name}, {seconds}"


@fault("time", "commits")
async def freeze_postgres(chaos: Chaos) -> str:
    chaos.site.postgres.freeze()
    seconds = await _lasts(chaos)
    chaos.site.postgres.thaw()
    return seconds


@fault("time", "commits")
async def cut_every_connection(chaos: Chaos) -> str:
    return f"{await terminate_backends(chaos.site.database_url)} connections"


@fault("time", "commits")
async def postgres_is_read_only(chaos: Chaos) -> str:
    """What a client of a primary that was demoted gets; and then it is the primary again."""
    await _set(chaos, "SET default_transaction_read_only = on")
    seconds = await _lasts(chaos)
    await _set(chaos, "RESET default_transaction_read_only")
    return seconds


@fault("time", "commits")
async def change_the_isolation(chaos: Chaos) -> str:
    """Of sessions that do not ask for one. It stays so until it is drawn again."""
    level = chaos.draw(("serializable", "repeatable read", "read committed"))
    await _set(chaos, f"SET default_transaction_isolation = '{level}'")
    return level


async def _set(chaos: Chaos, what: str) -> None:
    """Change the database's defaults, for the sessions that are open too."""
    await chaos.site.administer(f"ALTER DATABASE shortlist {what}")
    await terminate_backends(chaos.site.database_url)


@fault("time")
async def postgres_refuses(chaos: Chaos) -> str:
    step, states = chaos.draw(STEPS), chaos.chance.sample((*SERVERS, *EVERYONES), 3)
    with chaos.site.postgres_proxy.refusing(step, *states) as refusal:
        seconds = await _lasts(chaos)
    return f"{step} with {', '.join(states)}, {refusal.said} times, {seconds}"


@fault("time")
async def the_disk_is_full(chaos: Chaos) -> str:
    """Whatever writes is refused."""
    with ExitStack() as stack:
        for step in WRITES:
            stack.enter_context(chaos.site.postgres_proxy.refusing(step, DISK_FULL))
        return await _lasts(chaos)


@fault("time", "commits")
async def postgres_fails_over(chaos: Chaos) -> str:
    """Replication is synchronous: what was committed is not lost, or else no design could help."""
    how = chaos.draw(("killed", "frozen", "read-only", "left as it is"))
    old, new = chaos.site.postgres, await chaos.site.standby()
    await _leave_postgres(old, how, new)
    await new.lead()
    chaos.site.become_postgres(new)
    if how == "left as it is":
        await old.is_left_alone(WHOLE_AGAIN_SECONDS)
    old.kill()
    return how


async def _leave_postgres(old: Postgres, how: str, new: Postgres) -> None:
    if how == "read-only":
        await old.take_no_writes()
        await new.has_all_of(old)
    elif how == "frozen":
        old.freeze()
    elif how == "killed":
        old.kill()


FAULTS = [
    restart_redis, empty_redis, freeze_redis, redis_refuses, redis_fails_over, restart_postgres,
    freeze_postgres, cut_every_connection, postgres_is_read_only, change_the_isolation,
    postgres_refuses, the_disk_is_full, postgres_fails_over,
]  # fmt: skip
