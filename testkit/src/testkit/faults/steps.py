"""Every call by which a process asks Postgres or Redis something, found in the source.

The tables that refuse each step (`acceptance/test_every_*_at_every_step.py`) are compared with it:
a new query without a row fails `unit/test_every_step_has_a_row.py`.
"""

from __future__ import annotations

import ast
import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from redis.commands import AsyncCoreCommands

import shortlist
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SOURCE = Path(shortlist.__file__).parent
STATEMENTS = SOURCE / "storage" / "postgres" / "statements.py"
"""What sends those of `SQL`."""

SCRIPTS = SOURCE / "storage" / "redis" / "scripts.py"
"""What sends those of ``SCRIPTS``."""

_COMMANDS = {name for name in dir(AsyncCoreCommands) if not name.startswith("_")} | {
    "execute_command", "run", "subscribe", "unsubscribe",
}  # fmt: skip
_CLIENTS = {"redis", "_redis", "client", "pipe", "subscription"}
_OF_REDIS_ALONE = re.compile(
    r"[xhz][a-z]+(_[a-z]+)*|eval|evalsha|sadd|srem|smembers|sismember|incr\w*"
)
"""What only Redis has, whatever a client is called (``hset``, ``xadd``, ``zrange`` …)."""

_ASKS = {"fetch", "fetchval", "fetchrow", "execute", "executemany"}


def postgres_steps() -> dict[str, str]:
    """Step → a text that its statement holds: each of `SQL`, and each that stands in the source.

    Those are named ``module.function``. The text is empty where it is put together at run time.
    """
    return {name: statement.text for name, statement in SQL.items()} | dict(inline_steps(SOURCE))


def inline_steps(source: Path) -> Iterator[tuple[str, str]]:
    """Those that stand in the source below a folder."""
    names: set[str] = set()
    for path in sorted(set(source.rglob("*.py")) - {STATEMENTS}):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = _constants(tree)
        for function, call in _calls(tree, _ASKS):
            if call.args and not _is_of_sql(call):
                names.add(name := _new(f"{path.stem}.{function}", names))
                yield name, _text(call.args[0], constants)


def redis_steps(source: Path = SOURCE) -> set[str]:
    """Each function that sends Redis a command, as ``module.function``.

    A pipeline sends when it is executed; what is queued in it belongs to the same function.
    """
    return {
        f"{path.stem}.{function}"
        for path in sorted(set(source.rglob("*.py")) - {SCRIPTS})
        for function, call in _calls(ast.parse(path.read_text(encoding="utf-8")), _COMMANDS)
        if _is_of_redis(call)
    }


def _is_of_redis(call: ast.Call) -> bool:
    """Whether it is asked of a client, by its name, or by what nothing else has: a script too."""
    assert isinstance(call.func, ast.Attribute)
    asked = ast.unparse(call.func.value).rpartition(".")[2]
    if call.func.attr == "run":
        return asked.startswith("SCRIPTS[")
    return asked in _CLIENTS or _OF_REDIS_ALONE.fullmatch(call.func.attr) is not None


def _new(name: str, steps: Collection[str]) -> str:
    """The name, or ``name 2`` and so on for a function's further calls."""
    numbered = (name if number == 1 else f"{name} {number}" for number in count(1))
    return next(one for one in numbered if one not in steps)


def _calls(tree: ast.Module, names: set[str]) -> Iterator[tuple[str, ast.Call]]:
    """Each call of a method of one of these names, with the innermost function that it is in."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in _within(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in names
                ):
                    yield function.name, node


def _within(function: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _within(child)


def _is_of_sql(call: ast.Call) -> bool:
    """Whether it is ``SQL[…].fetch(connection, …)`` or the like."""
    asked = call.func.value if isinstance(call.func, ast.Attribute) else call.func
    return isinstance(asked, ast.Subscript) and ast.unparse(asked.value) == "SQL"


def _constants(tree: ast.Module) -> dict[str, str]:
    return {
        ast.unparse(node.targets[0]): node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def _text(argument: ast.expr, constants: dict[str, str]) -> str:
    if isinstance(argument, ast.Name):
        return constants.get(argument.id, "")
    if isinstance(argument, ast.JoinedStr):
        first = argument.values[0]
        return str(first.value) if isinstance(first, ast.Constant) else ""
    return str(argument.value) if isinstance(argument, ast.Constant) else ""
