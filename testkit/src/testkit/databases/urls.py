"""The same database as another role."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from shortlist.storage import postgres
from shortlist.storage.postgres import migrate, roles
from shortlist.storage.postgres.roles import Login

SERVICE = Login("shortlist_service", "of the services")


async def migrated(url: str) -> None:
    """A new server, with the schema and the role of the services as a release has them."""
    await migrate.migrate(url)
    connection = await postgres.connect(url, application_name="test")
    await roles.ensure(connection, service=SERVICE, reader=None)
    await connection.close()


def as_user(database_url: str, login: Login) -> str:
    """``database_url`` with another role's name and password."""
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    user, password = (quote(text, safe="") for text in (login.user, login.password))
    return parts._replace(netloc=f"{user}:{password}@{place}").geturl()
