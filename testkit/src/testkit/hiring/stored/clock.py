"""A clock of Postgres that a test sets, for one database.

The product asks for ``clock_timestamp()`` as ever. In this database a function of that name stands
before Postgres's own in the search path, so each process sees the test's time, and no statement of
the product is another than in production. Defaults of columns are bound to Postgres's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from shortlist.storage.postgres import Connection

_INSTALL = """
CREATE SCHEMA of_the_test;
CREATE TABLE of_the_test.clock (time timestamptz NOT NULL);
CREATE FUNCTION of_the_test.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT time FROM of_the_test.clock';
GRANT USAGE ON SCHEMA of_the_test TO public;
GRANT SELECT ON of_the_test.clock TO public;
"""


class TestClock:
    """What ``clock_timestamp()`` is in one database, for connections opened from now on."""

    __test__ = False

    def __init__(self, connection: Connection, now: dt.datetime) -> None:
        """``connection``: the test's own."""
        self._connection = connection
        self.now = now

    @classmethod
    async def stand_in(cls, connection: Connection, now: dt.datetime) -> TestClock:
        """Take the place of Postgres's clock; it stands at ``now`` until it is set."""
        await connection.execute(_INSTALL)
        await connection.execute("INSERT INTO of_the_test.clock VALUES ($1)", now)
        database = await connection.fetchval("SELECT quote_ident(current_database())")
        path = "of_the_test, pg_catalog, public"
        await connection.execute(f"ALTER DATABASE {database} SET search_path = {path}")
        await connection.execute(f"SET search_path = {path}")
        assert await connection.fetchval("SELECT clock_timestamp()") == now
        return cls(connection, now)

    async def set(self, now: dt.datetime) -> None:
        """Show this time from now on."""
        await self._connection.execute("UPDATE of_the_test.clock SET time = $1", now)
        self.now = now
