"""`storage.faults` alone knows the errors of Postgres and Redis: no other module lists them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SOURCES = [
    path
    for folder in ("services/src", "operator/src")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
    if path.parts[-2:] != ("storage", "faults.py")
]

DRIVERS = ("asyncpg", "redis.exceptions", "redis.asyncio.exceptions")


def drivers_names(tree: ast.Module) -> set[str]:
    """What a module calls the drivers' error modules and classes."""
    names = {"asyncpg", "redis.exceptions", "exceptions"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(DRIVERS):
            names |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {a.asname for a in node.names if a.asname and a.name.startswith(DRIVERS)}
    return names


def is_drivers(expression: ast.expr, names: set[str]) -> bool:
    """Whether an expression names an error of a driver: ``asyncpg.X``, ``redis.exceptions.X``."""
    text = ast.unparse(expression)
    return text in names or text.rpartition(".")[0] in names


def lists_of_errors(tree: ast.Module) -> set[str]:
    """Names of tuples of classes that are kept: what `except` could catch by another name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Tuple):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id for t in targets if isinstance(t, ast.Name)}
    return found


def own_judgements(source: str) -> list[str]:
    """Each place that decides about an error of Postgres or Redis by its class."""
    tree = ast.parse(source)
    names, lists = drivers_names(tree), lists_of_errors(tree)
    found = []
    for node in ast.walk(tree):
        caught: list[ast.expr] = []
        if not isinstance(node, ast.ExceptHandler | ast.Call):
            continue
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            caught = [node.type]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "suppress",
            "contextlib.suppress",
            "isinstance",
            "issubclass",
        }:
            caught = node.args
        for expression in caught:
            parts = [n for n in ast.walk(expression) if isinstance(n, ast.Name | ast.Attribute)]
            guilty = [p for p in parts if is_drivers(p, names)]
            if isinstance(node, ast.ExceptHandler):
                guilty += [p for p in parts if ast.unparse(p).rpartition(".")[2].isupper()]
                guilty += [p for p in parts if ast.unparse(p) in lists]
            found += [f"line {node.lineno}: {ast.unparse(p)}" for p in guilty]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: "/".join(path.parts[-2:]))
def test_no_module_but_faults_judges_an_error_by_its_class(path: Path) -> None:
    assert own_judgements(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import asyncpg\ntry: f()\nexcept asyncpg.PostgresError: pass",
        "import asyncpg\ntry: f()\nexcept (OSError, asyncpg.PostgresError): pass",
        "import redis\ntry: f()\nexcept redis.exceptions.ReadOnlyError: pass",
        "from redis.exceptions import ResponseError as R\ntry: f()\nexcept R: pass",
        "from asyncpg import InterfaceError\nwith suppress(InterfaceError): f()",
        "import asyncpg.exceptions as e\ntry: f()\nexcept e.DiskFullError: pass",
        "import asyncpg\nif isinstance(error, asyncpg.PostgresError): pass",
        "from x import REDIS_ERRORS\ntry: f()\nexcept REDIS_ERRORS: pass",
        "import x\ntry: f()\nexcept (*x.POSTGRES_ERRORS, OSError): pass",
        "mine = (OSError, ValueError)\ntry: f()\nexcept mine: pass",
    ],
)
def test_off_switch_a_list_of_its_own_is_found(source: str) -> None:
    assert own_judgements(source)
