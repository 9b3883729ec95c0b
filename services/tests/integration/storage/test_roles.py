"""The roles of the services: what each may do, and what it must not."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import asyncpg
import pytest

from shortlist.storage import postgres, roles
from shortlist.storage.roles import Login
from support.urls import as_user

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
    "COPY (SELECT 1) TO PROGRAM 'true'",
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
