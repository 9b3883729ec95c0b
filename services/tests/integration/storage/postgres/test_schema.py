from __future__ import annotations

from typing import TYPE_CHECKING

from shortlist.storage import postgres
from shortlist.storage.postgres import migrate, schema

if TYPE_CHECKING:
    from shortlist.embedded.servers.postgres import EmbeddedPostgres
    from shortlist.storage.postgres import Connection


async def test_the_code_needs_the_newest_revision(db: Connection) -> None:
    assert migrate.head_revision() == schema.NEEDED
    assert await schema.revision(db) == schema.NEEDED
    assert schema.suffices(schema.NEEDED)


async def test_an_empty_database_does_not_suffice(postgres_server: EmbeddedPostgres) -> None:
    url = postgres_server.url.replace("/shortlist?", "/postgres?")
    connection = await postgres.connect(url, application_name="test")
    assert not schema.suffices(await schema.revision(connection))
    await connection.close()


async def test_a_schema_of_newer_code_is_left_alone_after_a_rollback(database_url: str) -> None:
    connection = await postgres.connect(database_url, application_name="test")
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert await migrate.migrate(database_url) == ("9999", "9999")
    assert schema.suffices(await schema.revision(connection))
    await connection.close()
