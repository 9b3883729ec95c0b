"""A query without a row in `testkit.faults.sqlstates`, or a row without a query, fails."""

from __future__ import annotations

import importlib
from operator import attrgetter
from pathlib import Path

import pytest

from shortlist.storage.postgres.statements import SQL, Statement
from testkit.faults import redis_errors, steps
from testkit.faults.sqlstates import (
    AT_THE_START,
    BY_THE_SAME_GUARD,
    ELSEWHERE,
    NOT_OF_A_PROCESS,
    rows,
)

TESTS = Path(__file__).parents[1]


def in_a_table() -> set[str]:
    refused = {step for mode in ("perJob", "perWrite") for row in rows(mode) for step in row.steps}
    return refused | {*AT_THE_START, *ELSEWHERE, *BY_THE_SAME_GUARD} | NOT_OF_A_PROCESS


def test_every_query_has_a_row_and_every_row_a_query() -> None:
    assert in_a_table() == steps.postgres_steps().keys()


def test_off_switch_a_new_query_without_a_row_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SQL, "new.one", Statement("new.one", (), "SELECT 1"))
    with pytest.raises(AssertionError):
        test_every_query_has_a_row_and_every_row_a_query()


def test_a_query_that_stands_in_a_function_is_a_step(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("async def ask(c): return await c.fetch('SELECT 2')")
    found = dict(steps.inline_steps(tmp_path))
    assert found == {"new.ask": "SELECT 2"}


def test_every_command_of_redis_has_a_row_and_every_row_a_command() -> None:
    assert redis_errors.in_a_table() == steps.redis_steps()


@pytest.mark.parametrize(
    "asks",
    [
        "redis.get('key')",
        "pipe.execute_command('GET')",
        "line.anything.xadd('s', {})",
        "SCRIPTS['new'].run(line, [])",
    ],
)
def test_off_switch_a_new_command_of_redis_without_a_row_is_found(
    tmp_path: Path, asks: str
) -> None:
    (tmp_path / "new.py").write_text(f"async def ask(redis, pipe, line): return await {asks}")
    assert steps.redis_steps(tmp_path) - redis_errors.in_a_table() == {"new.ask"}


@pytest.mark.parametrize("where", sorted(set(ELSEWHERE.values())))
def test_the_tests_that_refuse_the_others_are_there(where: str) -> None:
    path, _, name = where.partition("::")
    assert f"def {name}(" in (TESTS / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["perJob", "perWrite"])
def test_every_row_refuses_a_text_that_is_sent(mode: str) -> None:
    texts = steps.postgres_steps()
    assert all(texts[step] for row in rows(mode) for step in row.steps)


@pytest.mark.parametrize(
    "guard", sorted({*BY_THE_SAME_GUARD.values(), *redis_errors.BY_THE_SAME_GUARD.values()})
)
def test_the_guards_of_the_others_are_there(guard: str) -> None:
    module, _, name = guard.partition(":")
    assert attrgetter(name)(importlib.import_module(module))
