"""Brings the schema up to date. Safe to run twice, and by several processes at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shortlist.storage.postgres import close_quickly, connect, roles
from shortlist.storage.postgres.fitness import UnfitDatabaseError, refuse_unfit
from shortlist.storage.postgres.statements import SQL
from shortlist.storage.silence import unless_silent

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from shortlist.settings import MigrateSettings
    from shortlist.urls import DatabaseUrl

_MIGRATION_LOCK = 5_872_114_001
"""Advisory lock that serialises migrations; positive, unlike the locks of ids (UUIDv7's variant
bits make those negative)."""


def _directory() -> Path:
    """Find the scripts: inside the installed package, or beside the sources in a checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_directory()))
    return config


def head_revision() -> str:
    """Return the newest revision that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def migrate_with_roles(settings: MigrateSettings, revision: str = "head") -> tuple[str, str]:
    """Upgrade as the owner; then make and grant the roles that are told beside it.

    The owner is made first, if an admin is told. Returns and raises what `migrate` does, and
    `asyncpg.InsufficientPrivilegeError` when the owner must not make a role that is missing;
    `SilentServerError` when Postgres stops answering.
    """
    return await unless_silent(settings.owner_url, _migrate_with_roles(settings, revision))


async def _migrate_with_roles(settings: MigrateSettings, revision: str) -> tuple[str, str]:
    others = settings.database_url, settings.reader_database_url
    if settings.admin_database_url and settings.owner_database_url:
        await roles.make_owner(settings.admin_database_url, settings.owner_database_url, others)
    result = await migrate(settings.owner_url, revision)
    if settings.owner_database_url or settings.reader_database_url:
        connection = await connect(settings.owner_url, application_name="shortlist-migrate")
        try:
            service, reader = map(roles.login_of, others)
            await roles.ensure(connection, service=service, reader=reader)
        finally:
            await close_quickly(connection)
    return result


async def migrate(url: DatabaseUrl | str, revision: str = "head") -> tuple[str, str]:
    """Upgrade to a revision; returns the one before (``""``: an empty database) and after.

    Raises `UnfitDatabaseError` for a database that cannot be ours, and what it says when Postgres
    is away, has no such database, or refuses us.
    """
    connection = await connect(url, application_name="shortlist-migrate")
    try:
        await refuse_unfit(connection, head_revision())
    finally:
        await close_quickly(connection)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(url, application_name="shortlist-migrate"),
        poolclass=NullPool,
        # Behind a pooler a name may be taken by another client's statement, and be gone later.
        connect_args={
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": lambda: f"shortlist_{uuid4()}",
        },
    )
    try:
        async with engine.connect() as connection:
            result = await connection.run_sync(_upgrade, revision)
            await connection.commit()
            return result
    except DBAPIError as error:
        raise _of_the_driver(error) from None
    except CommandError as error:
        raise UnfitDatabaseError(str(error)) from None
    finally:
        await engine.dispose()


def _of_the_driver(error: DBAPIError) -> BaseException:
    """Return what the driver raised: SQLAlchemy's errors are its own, and few of the driver's."""
    original = error.orig
    return (original and original.__cause__) or original or error


def _upgrade(connection: Connection, revision: str) -> tuple[str, str]:
    lock = SQL["schema.lock_migrations"]
    connection.exec_driver_sql(lock.text, tuple(lock.values({"key": _MIGRATION_LOCK})))
    before = MigrationContext.configure(connection).get_current_revision() or ""
    if before > head_revision():
        return before, before
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    after = MigrationContext.configure(connection).get_current_revision() or ""
    return before, after
