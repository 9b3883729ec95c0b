"""Switches a guard off in this process, for the length of a block (`Stack.start`: in another)."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from shortlist.storage.postgres.statements import SQL, Statement
from shortlist.storage.redis.scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Iterator


def changed(statement: str, text: str, instead: str) -> Statement:
    """One of `SQL`, with another text in place of a part of it, which must be there."""
    old = SQL[statement]
    assert text in old.source
    return Statement(old.name, old.parameters, old.source.replace(text, instead))


@contextmanager
def without(guard: str) -> Iterator[None]:
    """Be without one of `unguarded/guards.py`; what it replaced is put back."""
    guards: Any = import_module("testkit.unguarded.guards")
    statements, scripts, replace = dict(SQL), dict(SCRIPTS), guards.replace
    replaced: list[tuple[str, Any]] = []

    def remembered(target: str, new: Any) -> Any:
        replaced.append((target, replace(target, new)))
        return replaced[-1][1]

    guards.replace = remembered
    try:
        guards.GUARDS[guard]()
        yield
    finally:
        guards.replace = replace
        for target, old in reversed(replaced):
            replace(target, old)
        SQL.update(statements)
        SCRIPTS.update(scripts)
