"""Never two that lead: by the lease, by the clock, and by each transaction."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import signal
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.maintenance.leader import LEASE_NAME, Candidate
from shortlist.maintenance.main import connect
from shortlist.storage import postgres, redis
from shortlist.storage.faults import is_outage
from shortlist.storage.postgres.queries import leases
from shortlist.storage.postgres.queries.leases import NotLeadingError
from shortlist.storage.postgres.queries.retries import counts
from shortlist.storage.postgres.statements import SQL
from shortlist.storage.redis.line import Line
from testkit.databases.servers import terminate_backends
from testkit.faults.unguarding import changed
from testkit.processes.stack import Service, Stack, status_of
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from shortlist.maintenance.leader import Leadership
    from shortlist.maintenance.main import Maintenance
    from shortlist.settings import Settings
    from shortlist.storage.postgres import Connection

    from .conftest import Shop


@pytest.fixture
async def other(make_settings: Callable[..., Settings]) -> AsyncIterator[Connection]:
    """A second replica's connection."""
    connection = await connect(make_settings())
    yield connection
    await postgres.close_quickly(connection)


async def take(connection: Connection, seconds: float = 60) -> leases.Lease | None:
    return await leases.take(connection, LEASE_NAME, uuid4(), seconds)


async def test_a_lease_is_one_holders_until_it_runs_out_or_is_given_up(
    db: Connection, other: Connection
) -> None:
    first = await take(db)
    assert first is not None
    assert first.term == 1
    assert await take(other) is None
    await leases.give_up(db, first)
    second = await take(other)
    assert second is not None
    assert second.term == 2
    assert not await leases.renew(db, first)
    assert await leases.renew(other, second)


async def test_of_two_that_take_at_once_one_leads(db: Connection, other: Connection) -> None:
    for _ in range(10):
        taken = await asyncio.gather(take(db), take(other))
        leaders = [lease for lease in taken if lease is not None]
        assert len(leaders) == 1
        await leases.give_up(db, leaders[0])


async def test_who_let_the_lease_run_out_and_renews_before_anybody_took_over_stays_in_the_term(
    db: Connection,
) -> None:
    lease = await take(db, seconds=0)
    assert lease is not None
    with pytest.raises(NotLeadingError):
        async with leases.leading(db, lease):
            raise AssertionError("it ran without a lease")
    lease = replace(lease, seconds=60)
    assert await leases.renew(db, lease)
    async with leases.leading(db, lease):
        pass


async def test_a_takeover_waits_for_the_former_leaders_transaction(
    db: Connection, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_TAKEOVER_TIMEOUT_MILLISECONDS", 60_000)  # on a busy machine too
    former = await take(db)
    assert former is not None

    async def waits() -> bool:
        return bool(await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    async with leases.leading(db, former):
        await leases.give_up(other, former)
        taking = asyncio.create_task(take(other))
        await until(waits, within_seconds=30, what="the other one waits")
        assert not taking.done()
    taken = await taking
    assert taken is not None
    with pytest.raises(NotLeadingError):
        async with leases.leading(db, former):
            raise AssertionError("two lead")


async def test_renewing_never_waits_for_ones_own_transactions(
    db: Connection, other: Connection
) -> None:
    lease = await take(db)
    assert lease is not None
    async with leases.leading(db, lease), asyncio.timeout(10):
        assert await leases.renew(other, lease)


@pytest.mark.parametrize("in_mid_statement", [False, True])
async def test_a_transaction_that_was_left_open_is_ended_so_that_another_may_lead(
    db: Connection, other: Connection, *, in_mid_statement: bool
) -> None:
    former = await take(other)
    assert former is not None
    leading = leases.leading(other, former)
    await leading.__aenter__()
    if in_mid_statement:  # prepared, not executed: Postgres does not count such a session as idle
        await other.prepare("SELECT 1")
    await db.execute("UPDATE leases SET expires_at = now()")

    async def taken() -> bool:
        return await take(db) is not None

    await until(taken, within_seconds=30, what="another leads")
    assert await db.fetchval("SELECT term FROM leases") == 2
    with pytest.raises(Exception) as broken:  # noqa: PT011 (`is_outage` says which)
        await leading.__aexit__(None, None, None)
    assert is_outage(broken.value)


async def test_nobody_ends_the_transactions_of_whoever_leads(
    db: Connection, other: Connection
) -> None:
    leader = await take(db)
    assert leader is not None
    async with leases.leading(other, leader):
        assert await take(db) is None
        ended = SQL["leases.end_former_leaders"].fetch(db, name=LEASE_NAME, longest_seconds=120)
        assert await ended == []


async def test_of_two_replicas_one_leads_and_the_other_follows_when_it_stops(
    start_maintenance: Callable[..., Maintenance],
) -> None:
    replicas = [start_maintenance(), start_maintenance()]

    async def leaders() -> list[Maintenance]:
        return [r for r in replicas if r.candidate.leadership is not None]

    (leader,) = await until(leaders, within_seconds=30, what="one leads")
    for _ in range(20):
        await asyncio.sleep(0.05)
        assert await leaders() == [leader]


async def test_a_leader_that_loses_postgres_stops_leading_and_leads_again_when_it_is_back(
    database_url: str, start_maintenance: Callable[..., Maintenance]
) -> None:
    maintenance = start_maintenance(lease_seconds=1)

    async def leads() -> bool:
        return maintenance.candidate.leadership is not None

    await until(leads, within_seconds=30, what="it leads")
    name = database_url.partition("?")[0].rpartition("/")[2]
    admin = await postgres.connect(
        database_url.replace(f"/{name}?", "/postgres?"), application_name="admin"
    )
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    assert await terminate_backends(database_url) > 0

    async def follows() -> bool:
        return not await leads()

    await until(follows, within_seconds=30, what="it stops leading")
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await admin.close()
    await until(leads, within_seconds=30, what="it leads again")


async def test_what_postgres_answers_too_late_does_not_go_on(
    make_settings: Callable[..., Settings],
) -> None:
    settings, ended = make_settings(), False

    async def unanswered(_: Connection) -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            ended = True

    async def lead(_: Leadership) -> None:
        raise AssertionError("no replica may lead")

    candidate = Candidate(lambda: connect(settings), 1, lead)
    async with asyncio.timeout(60):
        with pytest.raises(TimeoutError):
            await candidate._ask(unanswered, 0.05)
    assert ended


async def test_it_knows_for_how_long_it_has_heard_postgres(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings()

    async def lead(_: Leadership) -> None:
        raise AssertionError("none stands")

    async def answer(_: Connection) -> None:
        pass

    async def late(_: Connection) -> None:
        await asyncio.sleep(1.2)  # asked each 0.5 s, it hears by 1.0 s

    candidate = Candidate(lambda: connect(settings), 1, lead)
    for _ in range(2):
        await candidate._ask(answer, 60)
        assert candidate.heard_for_seconds == math.inf, "it has just begun"
    await candidate._ask(late, 60)
    assert candidate.heard_for_seconds < 1.0
    candidate._heard_since = -math.inf
    candidate._connection.terminate()
    await candidate._ask(answer, 60)
    assert candidate.heard_for_seconds < 1.0
    await candidate._connection.close()


# --- with real processes


async def until_frozen(service: Service) -> None:
    async def look() -> bool:
        return psutil.Process(service.process.pid).status() == psutil.STATUS_STOPPED

    await until(look, within_seconds=60, what=f"{service.name} stops itself")


async def schedule(shop: Shop) -> None:
    (one,) = await shop.accept(1)
    await shop.schedule(0, one)


@asynccontextmanager
async def a_former_leader(
    shop: Shop, tmp_path: Path, redis_url: str, **settings: Any
) -> AsyncIterator[Service]:
    """It stopped when it was about to publish a retry; another leads; it goes on."""
    async with Stack(tmp_path, shop.database_url, redis_url, **settings) as stack:
        stopped = await stack.start("maintenance", failpoints="maintenance.mid_lead=stop@4")
        await schedule(shop)  # something to write, if nothing else is
        await until_frozen(stopped)
        assert await shop.db.fetchval("SELECT term FROM leases") == 1

        async def taken() -> bool:
            return await take(shop.db, 600) is not None

        await until(taken, within_seconds=30, what="another leads")
        await schedule(shop)
        stopped.thaw()
        yield stopped


async def test_a_leader_that_was_stopped_and_goes_on_writes_nothing(
    shop: Shop, tmp_path: Path, redis_url: str
) -> None:
    async with a_former_leader(shop, tmp_path, redis_url) as former:
        scheduled = await counts(shop.db)
        published = await shop.in_again()
        assert scheduled

        async def told() -> bool:
            return '"not_leading"' in former.log

        await until(told, within_seconds=30, what="it notices that it does not lead")
        former.terminate()
        assert await former.exit_code(within_seconds=30) == 0  # what it could do, it has done
        assert await counts(shop.db) == scheduled, "it wrote"
        assert await shop.in_again() == published, "it published"


async def test_off_switch_without_the_fence_a_former_leader_writes(
    shop: Shop, tmp_path: Path, redis_url: str
) -> None:
    async with a_former_leader(shop, tmp_path, redis_url, unguarded="leader_fence") as former:

        async def wrote() -> bool:
            return await counts(shop.db) == {}

        await until(wrote, within_seconds=30, what="it publishes the retries and deletes them")
        assert await shop.in_again()
        assert '"not_leading"' not in former.log


async def test_when_the_leader_freezes_in_a_transaction_the_other_leads_and_does_its_work(
    shop: Shop, tmp_path: Path, redis_url: str
) -> None:
    async with Stack(tmp_path, shop.database_url, redis_url) as stack:
        frozen = await stack.start("maintenance", failpoints="maintenance.after_publish=stop")
        await schedule(shop)
        await until_frozen(frozen)
        await stack.start("maintenance")

        async def done() -> bool:
            return await counts(shop.db) == {}

        await until(done, within_seconds=60, what="the other publishes the retry")
        assert len(await shop.in_again()) == 2  # twice, not never
        frozen.thaw()
        await frozen.ready()
        assert await counts(shop.db) == {}


@pytest.mark.parametrize("place", ["mid_lead", "before_publish", "after_publish"])
async def test_killed_anywhere_its_replica_loses_nothing(
    shop: Shop, tmp_path: Path, redis_url: str, place: str
) -> None:
    async with Stack(tmp_path, shop.database_url, redis_url) as stack:
        victim = await stack.start(
            "maintenance", wait=False, failpoints=f"maintenance.{place}=kill@2"
        )
        victim.wanted = False  # no successor

        async def leads() -> bool:
            return bool(await shop.db.fetchval("SELECT count(*) FROM leases") > 0)

        await until(leads, within_seconds=60, what="the first leads")
        await stack.start("maintenance")
        unpublished = set(await shop.accept(3))
        for _ in range(3):
            await schedule(shop)

        async def died() -> bool:
            await schedule(shop)
            return not victim.alive

        await until(died, within_seconds=60, what="it dies", poll_seconds=0.3)
        assert victim.process.returncode == -signal.SIGKILL

        async def all_there() -> bool:
            in_line = set(await shop.in_line()) | set(await shop.in_again())
            unfinished = await shop.db.fetch("SELECT id FROM applications")
            return unpublished < in_line and {row["id"] for row in unfinished} <= in_line

        await until(all_there, within_seconds=60, what="everything is in the line")
        assert await counts(shop.db) == {}


async def test_probes_tell_who_leads_and_sigterm_hands_over_at_once(
    shop: Shop, tmp_path: Path, redis_url: str
) -> None:
    async with Stack(tmp_path, shop.database_url, redis_url) as stack:
        leader = await stack.start("maintenance", unguarded="leads_for_a_minute")
        follower = await stack.start("maintenance", unguarded="leads_for_a_minute")
        for service in (leader, follower):
            assert await status_of(f"{service.url}/healthz") == 200
        assert '"leading"' not in follower.log
        leader.terminate()
        assert await leader.exit_code(within_seconds=30) == 0

        async def leads() -> bool:
            return '"leading"' in follower.log

        await until(leads, within_seconds=30, what="the other leads, 60 s before the lease ends")
        line = Line(redis.connect(redis_url), DEFAULT_PIPELINE)
        (one,) = await shop.accept(1)
        await shop.schedule(0, one)
        await shop.until_in_again(one)
        await line._redis.aclose()


@pytest.mark.parametrize("ahead", ["1 h", "100 days", "infinity"])
async def test_a_lease_that_a_clock_made_endless_is_none(
    db: Connection, other: Connection, ahead: str
) -> None:
    """The clock was an hour ahead when it was renewed, and has been set right since."""
    former = await take(db, seconds=3)
    assert former is not None
    end = "'infinity'" if ahead == "infinity" else f"now() + interval '{ahead}'"
    await db.execute(f"UPDATE leases SET expires_at = {end}")
    with pytest.raises(NotLeadingError):
        async with leases.leading(db, former):
            raise AssertionError("it ran though another replica may lead")
    assert await take(other, seconds=3) is not None
    assert not await leases.renew(db, former)


async def test_a_lease_that_is_given_up_has_ended_on_any_clock(db: Connection) -> None:
    lease = await take(db)
    assert lease is not None
    await leases.give_up(db, lease)
    assert await db.fetchval("SELECT expires_at = '-infinity' FROM leases")


async def _writes_on_another_run(db: Connection) -> bool:
    """Whether a leader may write, and go on, with a lease that it took on a former run."""
    lease = await take(db)
    assert lease is not None
    former = replace(lease, server=lease.server - dt.timedelta(seconds=1))
    try:
        async with leases.leading(db, former):
            pass
    except NotLeadingError:
        return await leases.renew(db, former)
    return True


async def test_a_term_is_of_one_run_of_one_server(db: Connection) -> None:
    """The row may be as it was, and what the leader knows is of a server that had more."""
    assert not await _writes_on_another_run(db)


async def test_off_switch_a_term_that_is_of_any_server(
    db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_one, of_any = "pg_postmaster_start_time() = :server", ":server::timestamptz IS NOT NULL"
    for name in ("leases.check", "leases.renew"):
        monkeypatch.setitem(SQL, name, changed(name, of_one, of_any))
    assert await _writes_on_another_run(db)
