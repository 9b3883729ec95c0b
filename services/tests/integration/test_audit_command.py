"""``shortlist audit``: from a terminal, on the database and on an exported file."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from testkit.hiring.living import LivingLine
from testkit.processes.commands import shortlist

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from shortlist.storage.postgres import Connection

    Done = subprocess.CompletedProcess[str]


@pytest.fixture
async def openings(db: Connection) -> list[LivingLine]:
    """Two with a past."""
    lines = [LivingLine(db, number, "fifo", seed=number, capacity=3) for number in (1, 2)]
    for line in lines:
        await line.live(60, 0.5)
    return lines


async def command(database_url: str, *arguments: str) -> Done:
    return await asyncio.to_thread(shortlist, "audit", *arguments, DATABASE_URL=database_url)


def told(line: LivingLine) -> str:
    """What is printed of an audit that is whole."""
    events = line.memory.events
    head = events[-1].digest.hex()
    return f"opening {line.memory.id}: {len(events)} events, intact, head {head}\n"


async def test_each_opening_is_verified(openings: list[LivingLine], database_url: str) -> None:
    done = await command(database_url, "verify")
    assert (done.returncode, done.stdout) == (0, "".join(map(told, openings))), done.stderr
    one = await command(database_url, "verify", "2")
    assert (one.returncode, one.stdout) == (0, told(openings[1]))


async def test_an_event_that_was_changed_is_named(
    openings: list[LivingLine], db: Connection, database_url: str
) -> None:
    await db.execute("ALTER TABLE opening_events DISABLE TRIGGER append_only")
    await db.execute("UPDATE opening_events SET actor = '9' WHERE opening_id = 1 AND sequence = 7")
    done = await command(database_url, "verify")
    assert done.returncode == 1
    assert "opening 1: " in done.stdout
    assert "broken: opening 1, event 7: " in done.stdout
    assert told(openings[1]) in done.stdout
    assert done.stderr == "shortlist: 1 of the audits is broken.\n"


async def test_what_was_cut_off_is_found_by_a_head_from_before(
    openings: list[LivingLine], database_url: str
) -> None:
    earlier = openings[0].memory.events[20].digest.hex()
    assert (await command(database_url, "verify", "1", "--head", earlier)).returncode == 0
    done = await command(database_url, "verify", "2", "--head", earlier)
    assert (done.returncode, done.stdout) == (1, "")
    assert "none has that head" in done.stderr


async def test_an_exported_audit_verifies_alone(
    openings: list[LivingLine], database_url: str, tmp_path: Path
) -> None:
    exported = await command(database_url, "export", "1")
    assert exported.returncode == 0, exported.stderr
    file = tmp_path / "audit.jsonl"
    file.write_text(exported.stdout, "utf-8")
    done = shortlist("audit", "verify", "--file", str(file), DATABASE_URL="")
    assert (done.returncode, done.stdout) == (0, told(openings[0])), done.stderr
    lines = exported.stdout.splitlines()
    changed = json.loads(lines[4]) | {"held": 9}
    file.write_text("\n".join([*lines[:4], json.dumps(changed), *lines[5:]]), "utf-8")
    broken = shortlist("audit", "verify", "--file", str(file), DATABASE_URL="")
    assert (broken.returncode, broken.stdout) == (1, "")
    assert f"shortlist: {file}: opening 1, event 5: " in broken.stderr


async def test_an_opening_that_is_not_there_is_told(database_url: str) -> None:
    for what in ("verify", "export"):
        done = await command(database_url, what, "9")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "shortlist: There is no such job.\n"
    assert (await command(database_url, "verify")).stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "--head", "xyz", "1"),
        ("verify", "--head", "00"),
        ("verify", "1", "--file", "x"),
        ("verify", "one"),
        ("export",),
    ],
)
async def test_arguments_that_contradict_each_other_are_refused(arguments: tuple[str, ...]) -> None:
    done = await command("", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


async def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    done = await command("", "verify", "--file", str(tmp_path / "absent"))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "No such file" in done.stderr
