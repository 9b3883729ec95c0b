"""The database roles of a release, and what each may do.

| role | named by | used by | may |
|---|---|---|---|
| admin | ADMIN_DATABASE_URL | ``shortlist migrate``, first of all | make the owner (a superuser) |
| owner | OWNER_DATABASE_URL | ``shortlist migrate`` | change the schema, make the other two |
| service | DATABASE_URL | ingest, worker, maintenance, operator | read and write rows |
| reader | READER_DATABASE_URL | dashboard | read rows |

`ensure` makes the service's and the reader's role and grants them what they need; the owner runs it
after each migration, so that a new table is granted with it. None of the two is a superuser, owns
anything, or may write into the table that says which schema there is. `ensure_owner` makes the
owner, which is no superuser either; only the servers that `shortlist up` and the chart start have
an admin that is told to us.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shortlist.storage.faults import has_state
from shortlist.storage.postgres import close_quickly, connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

    from shortlist.storage.postgres import Connection
    from shortlist.urls import DatabaseUrl

_INSUFFICIENT_PRIVILEGE = "42501"

_ITERATIONS = 4096  # Postgres's own default, scram_iterations
_SCHEMA_VERSION_TABLE = "alembic_version"

_OUR_RELATIONS = """
SELECT c.relname AS name, c.relkind = 'S' AS is_sequence
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
  AND pg_has_role(current_user, c.relowner, 'MEMBER')
ORDER BY c.relname
"""


_OWNER_RIGHTS = "NOSUPERUSER NOBYPASSRLS NOREPLICATION NOCREATEDB CREATEROLE"

_HANDED_OVER = """
WITH admin AS (SELECT oid FROM pg_roles WHERE rolname = current_user),
things AS (
    SELECT 'DATABASE' AS kind, quote_ident(datname) AS name FROM pg_database, admin
    WHERE datname = current_database() AND datdba = admin.oid
    UNION ALL
    SELECT 'SCHEMA', 'public' FROM pg_namespace, admin
    WHERE nspname = 'public' AND nspowner = admin.oid
    UNION ALL
    SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           c.oid::regclass::text
    FROM pg_class c, admin
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
      AND relowner = admin.oid AND NOT EXISTS (
          SELECT FROM pg_depend d
          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND d.deptype IN ('a', 'i', 'e'))
    UNION ALL
    SELECT 'ROUTINE', p.oid::regprocedure::text FROM pg_proc p, admin
    WHERE pronamespace = 'public'::regnamespace AND proowner = admin.oid AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
)
SELECT format('ALTER %s %s OWNER TO %I', kind, name, $1::text) FROM things
UNION ALL
SELECT format('GRANT %I TO %I WITH ADMIN OPTION', rolname, $1::text) FROM pg_roles
WHERE rolname = ANY($2::text[]) AND rolname <> $1
  AND NOT pg_has_role($1::name, oid, 'MEMBER WITH ADMIN OPTION')
"""
"""Statements that give the owner what the admin has here, and the roles that it must change.

What belongs to a column goes with its table; what belongs to an extension stays. From Postgres 15
on the schema is the database's owner's anyway."""

_LOCK_TIMEOUT = "1s"
"""Who waits for a table's lock makes all others wait; a migration that gave up is run again."""

_OWNER_LOCK = 5_872_114_002
"""Advisory lock of the process that makes the owner: positive, unlike the locks of ids."""


@dataclass(frozen=True, slots=True)
class Login:
    """A role's name and its password, as a URL names them."""

    user: str
    password: str = field(default="", repr=False)


def login_of(url: DatabaseUrl) -> Login | None:
    """The role that a URL names; None when there is no URL, or it names none."""
    arguments = url.arguments() if url else {}
    user, password = arguments.get("user"), arguments.get("password")
    return Login(user, password or "") if user else None


async def exist(connection: Connection, users: Sequence[str]) -> bool:
    """Whether all of these roles are there."""
    query = "SELECT count(*) FROM pg_roles WHERE rolname = ANY($1::text[])"
    return bool(await connection.fetchval(query, users) == len({*users}))


async def ensure(connection: Connection, *, service: Login | None, reader: Login | None) -> None:
    """Make the roles that are not there, and grant both what they need. Safe to run twice.

    ``connection`` is the owner's, outside of a transaction. A role of the owner's own name is left
    as it is. Raises `asyncpg.InsufficientPrivilegeError` when a role is missing and the owner must
    not make it (it has no CREATEROLE).
    """
    owner = await connection.fetchval("SELECT current_user::text")
    async with connection.transaction():
        relations = await connection.fetch(_OUR_RELATIONS)
        for login, rights in ((service, "SELECT, INSERT, UPDATE, DELETE"), (reader, "SELECT")):
            if login is None or login.user == owner:
                continue
            await _ensure_role(connection, login)
            await _grant(connection, login.user, rights, relations)


async def make_owner(
    admin_url: DatabaseUrl, owner_url: DatabaseUrl, others: Sequence[DatabaseUrl]
) -> None:
    """Connect as the admin and `ensure_owner`, with the roles that the URLs name."""
    owner = login_of(owner_url)
    assert owner is not None, "the owner's URL names no role"
    connection = await connect(admin_url, application_name="shortlist-migrate")
    try:
        logins = [login for url in others if (login := login_of(url))]
        await ensure_owner(connection, owner, logins)
    finally:
        await close_quickly(connection)


async def ensure_owner(connection: Connection, owner: Login, others: Sequence[Login]) -> None:
    """Make the owner's role, and give it all that is the admin's in this database.

    ``connection`` is the admin's, a superuser's, outside of a transaction. ``others``: roles that
    an owner of the release before may have made, and that this one is to grant and change. Safe to
    run twice, and beside processes that work. Does nothing when the owner is the admin itself.
    """
    if owner.user == await connection.fetchval("SELECT current_user::text"):
        return
    await connection.execute("SELECT pg_advisory_lock($1)", _OWNER_LOCK)
    try:
        await _ensure_role(connection, owner, _OWNER_RIGHTS)
        users = [login.user for login in others]
        for (statement,) in await connection.fetch(_HANDED_OVER, owner.user, users):
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                await connection.execute(statement)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _OWNER_LOCK)


async def _ensure_role(connection: Connection, login: Login, rights: str = "") -> None:
    exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", login.user)
    verb = "ALTER" if exists else "CREATE"
    password = f"PASSWORD {_literal(scram_verifier(login.password))}" if login.password else ""
    statement = f"{verb} ROLE {_name(login.user)} LOGIN {rights} {password}"
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except Exception as error:
        if not exists or not has_state(error, _INSUFFICIENT_PRIVILEGE):
            raise  # one that is there may be another administrator's: its password stays


async def _grant(
    connection: Connection, user: str, rights: str, relations: list[asyncpg.Record]
) -> None:
    role = _name(user)
    await connection.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    for relation in relations:
        name = f"public.{_name(relation['name'])}"
        if relation["is_sequence"]:
            await connection.execute(f"GRANT USAGE, SELECT ON SEQUENCE {name} TO {role}")
            continue
        is_version = relation["name"] == _SCHEMA_VERSION_TABLE
        await connection.execute(f"GRANT {'SELECT' if is_version else rights} ON {name} TO {role}")


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What Postgres keeps instead of a password (RFC 5803), so that none is ever sent to it.

    A statement with a password in it ends up in the server's log when it fails, or when statements
    are logged. ``salt``: 16 bytes; drawn when not given.
    """
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded_salt, *keys = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded_salt}${':'.join(keys)}"


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
