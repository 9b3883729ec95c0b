"""A database that has been used for a while: scored applications, made inside Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.bench.bench import Bench, Place

_STATEMENTS = (
    """
    INSERT INTO applications (id, pipeline, candidate, payload)
    SELECT uuidv7(), 'default', 'Candidate ' || n, repeat('x', 200)
    FROM generate_series(1, {count}) n
    """,
    """
    INSERT INTO attempts (application_id, attempt, worker_id)
    SELECT id, 1, gen_random_uuid() FROM applications
    """,
    """
    INSERT INTO results (application_id, attempt, pipeline, status, score)
    SELECT id, 1, 'default', 'scored', round((random() * 100)::numeric, 2) FROM applications
    """,
    "VACUUM (ANALYZE, FREEZE) applications, attempts, results",
    "CHECKPOINT",
)


async def fill(place: Place, count: int) -> None:
    """So many scored applications, vacuumed, and written out."""
    connection = await place.connect()
    for statement in _STATEMENTS:
        await connection.execute(statement.format(count=count))
    await connection.close()


async def paths_file(bench: Bench, place: Place, count: int = 5000) -> Path:
    """Write a file of status paths, some applications taken at random."""
    connection = await place.connect()
    rows = await connection.fetch("SELECT id FROM applications ORDER BY random() LIMIT $1", count)
    await connection.close()
    path = bench.directory / f"paths-{rows[0]['id']}"
    _write(path, [f"/applications/{row['id']}" for row in rows])
    return path


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines), encoding="utf-8")
