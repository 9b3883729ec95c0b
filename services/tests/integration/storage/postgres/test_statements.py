"""Postgres itself understands each statement, with the schema that migrations make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from shortlist.storage.postgres.statements import SQL, Statement

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection


async def is_understood(db: Connection, statement: Statement) -> None:
    prepared = await db.prepare(statement.text)
    assert len(prepared.get_parameters()) == len(statement.parameters), statement.name


async def test_names_and_types_are_those_of_the_schema(db: Connection) -> None:
    for statement in SQL.values():
        await is_understood(db, statement)


@pytest.mark.parametrize(
    "text", ["SELECT x FROM applications", "SELECT id FROM application", "SELECT :a::uuid + 1"]
)
async def test_what_is_not_is_refused(db: Connection, text: str) -> None:
    parameters = ("a",) if ":a" in text else ()
    with pytest.raises(asyncpg.PostgresError):
        await is_understood(db, Statement("a.b", parameters, text))
