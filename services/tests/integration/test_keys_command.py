"""``shortlist keys``: made, listed and revoked from a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shortlist.domain.access import digest_of_key, is_key
from shortlist.storage.postgres.queries.hiring import api_keys
from testkit.processes.commands import shortlist

if TYPE_CHECKING:
    from shortlist.storage.postgres import Connection


def table(text: str) -> list[dict[str, str]]:
    """The rows of what ``list`` prints, by its headings."""
    headings, *rows = text.splitlines()
    starts = [headings.index(word) for word in ("id", "name", "scopes", "state", "created")]
    ends = [*starts[1:], None]
    names = [headings[a:b].strip() for a, b in zip(starts, ends, strict=True)]
    return [
        {name: row[a:b].strip() for name, a, b in zip(names, starts, ends, strict=True)}
        for row in rows
    ]


async def test_a_key_is_printed_once_and_kept_as_its_digest(
    db: Connection, database_url: str
) -> None:
    done = shortlist(
        "keys", "create", "careers page", "--scope", "read", "--scope", "apply",
        DATABASE_URL=database_url,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    key = done.stdout.strip()
    assert is_key(key)
    assert "careers page" in done.stderr
    assert key not in done.stderr
    found = (await api_keys.valid(db, [digest_of_key(key)]))[digest_of_key(key)]
    assert found.scopes == {"read", "apply"}
    rows = await db.fetch("SELECT k::text AS row FROM api_keys k")
    assert all(key not in row["row"] for row in rows)


async def test_a_key_expires_after_its_days(db: Connection, database_url: str) -> None:
    done = shortlist(
        "keys", "create", "x", "--scope", "read", "--days", "0.5", DATABASE_URL=database_url
    )
    assert done.returncode == 0, done.stderr
    left = await db.fetchval("SELECT expires_at - clock_timestamp() FROM api_keys")
    assert 11.9 * 3600 < left.total_seconds() <= 12 * 3600


async def test_keys_are_listed_and_revoked(db: Connection, database_url: str) -> None:
    for name, days in (("one", None), ("two", None), ("three", 1.0)):
        await api_keys.create(
            db, name=name, digest=name.encode(), scopes=["read", "manage"], days=days
        )
    await db.execute("UPDATE api_keys SET expires_at = clock_timestamp() WHERE name = 'three'")
    assert shortlist("keys", "revoke", "2", DATABASE_URL=database_url).returncode == 0
    rows = table(shortlist("keys", "list", DATABASE_URL=database_url).stdout)
    assert [(row["id"], row["name"], row["scopes"], row["state"]) for row in rows] == [
        ("1", "one", "read,manage", "valid"),
        ("2", "two", "read,manage", "revoked"),
        ("3", "three", "read,manage", "expired"),
    ]


async def test_a_key_that_is_revoked_again_stays_revoked_since_then(
    db: Connection, database_url: str
) -> None:
    await api_keys.create(db, name="x", digest=b"x", scopes=["read"], days=None)
    await api_keys.revoke(db, 1)
    since = await db.fetchval("SELECT revoked_at FROM api_keys")
    assert shortlist("keys", "revoke", "1", DATABASE_URL=database_url).returncode == 0
    assert await db.fetchval("SELECT revoked_at FROM api_keys") == since


def test_a_key_that_is_not_there_cannot_be_revoked(database_url: str) -> None:
    done = shortlist("keys", "revoke", "9", DATABASE_URL=database_url)
    assert (done.returncode, done.stderr) == (1, "shortlist: there is no key 9.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("x",),
        ("x", "--scope", "everything"),
        ("x", "--scope", "read", "--days", "0"),
        ("x", "--scope", "read", "--days", "nan"),
        (" ", "--scope", "read"),
        ("x" * 201, "--scope", "read"),
    ],
)
async def test_a_key_that_cannot_be_is_refused(
    db: Connection, database_url: str, arguments: tuple[str, ...]
) -> None:
    done = shortlist("keys", "create", *arguments, DATABASE_URL=database_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert await db.fetchval("SELECT count(*) FROM api_keys") == 0
