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
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shortlist.storage.postgres import Connection
    from shortlist.urls import DatabaseUrl

_INSUFFICIENT_PRIVILEGE = "42501"

_ITERATIONS = 4096  # Postgres's own default, scram_iterations

_LOCK_TIMEOUT_MILLISECONDS = 1000
"""Who waits for a table's lock makes all others wait; a migration that gave up is run again."""

_OWNER_LOCK = 5_872_114_002
"""Advisory lock of the process that makes the owner: positive, unlike the locks of ids."""


@dataclass(frozen=True, slots=True)
class Login:
    """A role's name and its password, as a URL names them."""

    user: str
    password: str = field(default="", repr=False)


def login_of(url: DatabaseUrl) -> Login | None:
    """Return the role that a URL names; None when there is no URL, or it names none."""
    arguments = url.arguments() if url else {}
    user, password = arguments.get("user"), arguments.get("password")
    return Login(user, password or "") if user else None


async def exist(connection: Connection, users: Sequence[str]) -> bool:
    """Tell whether all of these roles are there."""
    found = await SQL["roles.count_existing"].fetchval(connection, names=users)
    return bool(found == len({*users}))


async def ensure(connection: Connection, *, service: Login | None, reader: Login | None) -> None:
    """Make the roles that are not there, and grant both what they need. Safe to run twice.

    ``connection`` is the owner's, outside of a transaction. A role of the owner's own name is left
    as it is. Raises `asyncpg.InsufficientPrivilegeError` when a role is missing and the owner must
    not make it (it has no CREATEROLE).
    """
    owner = await SQL["roles.current"].fetchval(connection)
    async with connection.transaction():
        for login, may_write in ((service, True), (reader, False)):
            if login is None or login.user == owner:
                continue
            await _ensure_role(connection, login)
            grants = SQL["roles.grants"].fetch(connection, name=login.user, may_write=may_write)
            for (grant,) in await grants:
                await connection.execute(grant)


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
    if owner.user == await SQL["roles.current"].fetchval(connection):
        return
    await SQL["server.lock"].execute(connection, key=_OWNER_LOCK)
    try:
        await _ensure_role(connection, owner, owns=True)
        users = [login.user for login in others]
        changes = SQL["roles.handed_over"].fetch(connection, owner=owner.user, others=users)
        for (change,) in await changes:
            async with connection.transaction():
                await SQL["server.lock_timeout"].fetchval(
                    connection, milliseconds=str(_LOCK_TIMEOUT_MILLISECONDS)
                )
                await connection.execute(change)
    finally:
        await SQL["server.unlock"].execute(connection, key=_OWNER_LOCK)


async def _ensure_role(connection: Connection, login: Login, *, owns: bool = False) -> None:
    verifier = scram_verifier(login.password) if login.password else None
    role = await SQL["roles.make"].fetchrow(
        connection, name=login.user, verifier=verifier, owns=owns
    )
    assert role is not None
    try:
        async with connection.transaction():
            await connection.execute(role["statement"])
    except Exception as error:
        if not role["already"] or not has_state(error, _INSUFFICIENT_PRIVILEGE):
            raise  # one that is there may be another administrator's: its password stays


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Make what Postgres keeps instead of a password (RFC 5803), so that none is sent to it.

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
