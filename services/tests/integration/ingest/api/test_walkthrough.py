"""The walk-through of ``docs/hiring.md``, as a person types it: its answers are those it shows."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from testkit.repository import ROOT

if TYPE_CHECKING:
    from testkit.processes.ingest import Door

PAGE = ROOT / "docs" / "hiring.md"
OURS = "uv run shortlist --data .shortlist"
"""Runs the command of a checkout, on the servers of its `shortlist up`."""


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str]]:
    """Each command of the console blocks, and the answer below it."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    return [
        (lines[start].removeprefix("$ "), "\n".join(lines[start + 1 : end]))
        for start, end in pairwise([*starts, len(lines)])
    ]


def looks_like(shown: str) -> re.Pattern[str]:
    """What is shown; an ellipsis stands for anything."""
    return re.compile(".*?".join(map(re.escape, shown.split("…"))), re.DOTALL)


async def run(command: str, environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_shell(
        command,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, trouble = await process.communicate()
    assert process.returncode == 0, (command, trouble.decode())
    return output.decode().strip()


async def key(database_url: str) -> str:
    """A key, by the command that the page shows."""
    (command,) = re.findall(r"^export KEY=\$\((.*)\)$", "\n".join(blocks("sh")), re.MULTILINE)
    assert command.startswith(OURS)
    here = command.replace(OURS, f"{shlex.quote(sys.executable)} -m shortlist")
    return await run(here, {"DATABASE_URL": database_url})


async def test_each_call_answers_what_the_page_shows(door: Door, database_url: str) -> None:
    environment = {
        "API": f"http://127.0.0.1:{door.port}/api",
        "KEY": await key(database_url),
        "no_proxy": "127.0.0.1",
    }
    assert len(steps()) >= 8
    for command, shown in steps():
        answer = await run(command, environment)
        assert looks_like(shown).fullmatch(answer), (command, shown, answer)


def test_an_ellipsis_stands_for_anything_and_nothing_else_does() -> None:
    assert looks_like('{"id":1,…"x":[…]}').fullmatch('{"id":1,"a":2,"x":[]}')
    assert not looks_like('{"id":1,…}').fullmatch('{"id":12}')
    with pytest.raises(AssertionError):
        assert looks_like("a.c").fullmatch("abc")
