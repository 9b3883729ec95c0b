"""The roles of the services: what each may do, and what it must not."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import asyncpg
import pytest

from shortlist.storage import postgres
from shortlist.storage.postgres import roles
from shortlist.storage.postgres.roles import Login
from testkit.databases.urls import as_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_numbers = itertools.count(1)

AWKWARD = "p@ss:w/o#r?d% '\"\\ü"


@pytest.fixture
async def logins(db: postgres.Connection) -> AsyncIterator[tuple[Login, Login]]:
    """Two roles that are not there yet; roles are the whole server's, so each test has its own."""
    number = f"{await db.fetchval('SELECT current_database()')}_{next(_numbers)}"
    both = Login(f'service "{number}"', AWKWARD), Login(f"reader {number}", AWKWARD)
    yield both
    for login in both:
        role = '"' + login.user.replace('"', '""') + '"'
        if await db.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", login.user):
            await db.execute(f"DROP OWNED BY {role}")
            await db.execute(f"DROP ROLE {role}")


async def connected(database_url: str, login: Login) -> postgres.Connection:
    return await postgres.connect(as_user(database_url, login), application_name="test")


REFUSED_TO_SERVICES = [
    "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'",
    "CREATE TABLE mine (a int)",
    "DROP TABLE applications",
    "TRUNCATE applications",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "UPDATE alembic_version SET version_num = '0000'",
    "CREATE ROLE another SUPERUSER",
    "SELECT pg_read_file('postgresql.conf')",
    "SET session_replication_role = replica",
]
WRITES = [
    "INSERT INTO pipelines (name) VALUES ('another')",
    "UPDATE pipelines SET line_capacity = 5",
    "DELETE FROM results",
]


async def test_services_write_rows_and_nothing_else(
    database_url: str, db: postgres.Connection, logins: tuple[Login, Login]
) -> None:
    service, reader = logins
    await roles.ensure(db, service=service, reader=reader)
    connection = await connected(database_url, service)
    for statement in WRITES:
        await connection.execute(statement)
    for statement in REFUSED_TO_SERVICES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()


async def test_the_reader_reads(
    database_url: str, db: postgres.Connection, logins: tuple[Login, Login]
) -> None:
    service, reader = logins
    await roles.ensure(db, service=service, reader=reader)
    connection = await connected(database_url, reader)
    for table in ("applications", "results", "attempts", "workers", "pipelines", "held_locks"):
        await connection.fetch(f"SELECT * FROM {table}")
    for statement in [*WRITES, *REFUSED_TO_SERVICES]:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()


async def test_made_twice_is_made_once_and_a_new_password_counts(
    database_url: str, db: postgres.Connection, logins: tuple[Login, Login]
) -> None:
    service, _ = logins
    await roles.ensure(db, service=service, reader=None)
    changed = Login(service.user, "changed")
    await roles.ensure(db, service=changed, reader=None)
    await (await connected(database_url, changed)).close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connected(database_url, service)


async def test_the_owners_own_name_is_left_alone(db: postgres.Connection) -> None:
    before = await db.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = current_user")
    owner = await db.fetchval("SELECT current_user::text")
    await roles.ensure(db, service=Login(owner, "other"), reader=Login(owner))
    after = await db.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = current_user")
    assert before == after


async def test_an_owner_that_must_not_make_roles_grants_to_those_that_are_there(
    database_url: str, db: postgres.Connection, logins: tuple[Login, Login]
) -> None:
    service, plain_owner = logins
    await roles.ensure(db, service=service, reader=plain_owner)
    owner = await connected(database_url, plain_owner)
    await roles.ensure(owner, service=service, reader=None)  # grants of nothing: it owns nothing
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await roles.ensure(owner, service=Login("is not there", "x"), reader=None)
    await owner.close()


async def test_no_password_is_sent_or_shown(
    db: postgres.Connection, logins: tuple[Login, Login]
) -> None:
    service, _ = logins
    sent: list[str] = []
    db.add_query_logger(lambda query: sent.append(query.query))
    await roles.ensure(db, service=service, reader=None)
    assert any("SCRAM-SHA-256$" in query for query in sent)
    assert not any(AWKWARD[:8] in query for query in sent)
    assert AWKWARD not in repr(service)


REFUSED_TO_THE_OWNER = [
    "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'",
    "SELECT pg_read_file('postgresql.conf')",
    "SET session_replication_role = replica",
    "CREATE ROLE another SUPERUSER",
    "CREATE DATABASE another",
    "ALTER SYSTEM SET work_mem = '4MB'",
]


@pytest.fixture
async def owner(db: postgres.Connection) -> AsyncIterator[Login]:
    """A role that is not there yet; what it owns at the end is the admin's again."""
    login = Login(f"owner {await db.fetchval('SELECT current_database()')}", AWKWARD)
    yield login
    role = f'"{login.user}"'
    if await db.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", login.user):
        await db.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER")
        await db.execute(f"DROP OWNED BY {role}")
        await db.execute(f"DROP ROLE {role}")


async def is_refused_what_only_a_superuser_may(connection: postgres.Connection) -> None:
    for statement in REFUSED_TO_THE_OWNER:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def owned(db: postgres.Connection, login: Login) -> tuple[int, int]:
    """Tables, views and functions that are the role's, and all there are."""
    row = await db.fetchrow(
        "SELECT count(*) FILTER (WHERE owner = $1), count(*) FROM ("
        " SELECT relowner::regrole::oid FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'v') UNION ALL"
        " SELECT proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL"
        " SELECT datdba FROM pg_database WHERE datname = current_database()"
        ") things (oid), LATERAL (SELECT rolname FROM pg_roles r WHERE r.oid = things.oid)"
        " roles (owner)",
        login.user,
    )
    assert row is not None
    return row[0], row[1]


async def test_the_owner_migrates_and_is_no_superuser(
    database_url: str, db: postgres.Connection, owner: Login, logins: tuple[Login, Login]
) -> None:
    await roles.ensure_owner(db, owner, [])
    connection = await connected(database_url, owner)
    await is_refused_what_only_a_superuser_may(connection)
    await connection.execute("ALTER TABLE applications ADD COLUMN later integer")
    await connection.execute("CREATE TABLE later (a integer)")
    await roles.ensure(connection, service=logins[0], reader=logins[1])
    await connection.close()
    reader = await connected(database_url, logins[1])
    assert not await reader.fetch("SELECT later FROM applications")
    assert not await reader.fetch("SELECT a FROM later")
    await reader.close()
    mine, all_there_are = await owned(db, owner)
    assert mine == all_there_are


async def test_off_switch_the_superuser_is_refused_nothing(db: postgres.Connection) -> None:
    with pytest.raises(pytest.fail.Exception):
        await is_refused_what_only_a_superuser_may(db)


async def test_an_owner_takes_over_the_roles_and_tables_of_the_release_before(
    database_url: str, db: postgres.Connection, owner: Login, logins: tuple[Login, Login]
) -> None:
    service, reader = logins
    await roles.ensure(db, service=service, reader=reader)  # as the admin: the owner of then
    for _ in range(2):  # also what a rolled back release made in between
        await db.execute("CREATE TABLE IF NOT EXISTS of_the_admin (a integer)")
        await roles.ensure_owner(db, owner, [service, reader])
    at_work = await connected(database_url, service)
    await at_work.execute(WRITES[0])  # its grants outlive the change of owner
    await at_work.close()
    connection = await connected(database_url, owner)
    changed = Login(service.user, "changed")
    await roles.ensure(connection, service=changed, reader=reader)
    await connection.close()
    await (await connected(database_url, changed)).close()
    mine, all_there_are = await owned(db, owner)
    assert mine == all_there_are


async def test_taking_over_waits_for_no_one_who_holds_a_table(
    database_url: str, db: postgres.Connection, owner: Login
) -> None:
    """What waits for a table's lock makes every accept behind it wait as well."""
    reading = await postgres.connect(database_url, application_name="test")
    async with reading.transaction():
        await reading.fetch("SELECT FROM applications")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await roles.ensure_owner(db, owner, [])
    await reading.close()
    await roles.ensure_owner(db, owner, [])
    mine, all_there_are = await owned(db, owner)
    assert mine == all_there_are


async def test_an_admin_that_is_the_owner_stays_as_it_is(db: postgres.Connection) -> None:
    admin = Login(await db.fetchval("SELECT current_user::text"), "other")
    before = await db.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = current_user")
    await roles.ensure_owner(db, admin, [])
    after = await db.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = current_user")
    assert before == after
