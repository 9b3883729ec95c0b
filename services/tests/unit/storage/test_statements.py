"""Statements of SQL stand in files, with named parameters; Python only names them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.storage.postgres.statements import SQL, Statement, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[4]
SOURCES = REPOSITORY / "services/src/shortlist", REPOSITORY / "operator/src/shortlist_operator"
FOLDER = SOURCES[0] / "storage" / "postgres" / "sql"
VERBS = (
    "ALTER", "ANALYZE", "CALL", "COMMENT", "COPY", "CREATE", "DELETE", "DO", "DROP", "EXPLAIN",
    "GRANT", "INSERT INTO", "LISTEN", "LOCK", "MERGE", "NOTIFY", "REFRESH", "REVOKE", "SELECT",
    "SET", "SHOW", "TRUNCATE", "UPDATE", "VACUUM", "VALUES", "WITH",
)  # fmt: skip
STATEMENT = re.compile(rf"\s*(?:{'|'.join(VERBS)})\s")
SENDS = {"fetch", "fetchrow", "fetchval", "execute"}

IN_PYTHON = {
    # Behind a pooler it goes with BEGIN, in a message that can have no parameters.
    "storage/postgres/pooled.py": ["SET LOCAL "],
    # For psql, before there is a database that storage could connect to.
    "embedded/servers/postgres.py": ["CREATE DATABASE shortlist"],
    # A method of HTTP and a path.
    "ingest/api/access.py": ["DELETE /applicants/{applicantId}"],
}
"""All that does not stand in ``sql/``, and why."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            if "_migrations" not in path.parts:
                yield str(path.relative_to(source)), ast.parse(path.read_text("utf-8"))


def sql_in(tree: ast.Module) -> list[str]:
    """Texts that begin as a statement does."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and STATEMENT.match(node.value)
    ]


def test_no_module_holds_a_statement() -> None:
    found = {path: texts for path, tree in modules() if (texts := sql_in(tree))}
    assert found == IN_PYTHON


@pytest.mark.parametrize(
    "code", ["x = 'SELECT 1'", "f'SET a = {1}'", 'run("""\n  WITH a AS (…) SELECT 1""")']
)
def test_a_statement_in_a_module_is_found(code: str) -> None:
    assert sql_in(ast.parse(code))


def sent(tree: ast.Module) -> Iterator[tuple[str, set[str], bool]]:
    """Of each ``SQL["name"].fetch(…)``: the name, the arguments, and whether these are all."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in SENDS
            and isinstance(node.func.value, ast.Subscript)
            and ast.unparse(node.func.value.value) == "SQL"
        ):
            names = {keyword.arg for keyword in node.keywords}
            name = ast.literal_eval(node.func.value.slice)
            yield name, {one for one in names if one}, None not in names


def test_each_call_gives_each_parameter_by_its_name() -> None:
    calls = [call for _, tree in modules() for call in sent(tree)]
    assert calls
    for name, arguments, is_all in calls:
        known = set(SQL[name].parameters)
        assert arguments == known if is_all else arguments < known, name


def test_each_statement_is_used() -> None:
    used = {
        ast.literal_eval(node.slice)
        for _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "SQL"
        if isinstance(node.slice, ast.Constant)
    }
    assert used == SQL.keys()


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.sql")), ids=lambda path: path.stem)
def test_each_statement_is_explained(path: Path) -> None:
    heads = re.findall(r"^-- name: (\w+)\(.*\)\n(.*)$", path.read_text("utf-8"), re.MULTILINE)
    assert {f"{path.stem}.{name}" for name, _ in heads} <= SQL.keys()
    assert [name for name, next_line in heads if not next_line.startswith("-- ")] == []


def test_names_become_numbers_in_the_order_of_the_parameters() -> None:
    statement = Statement(
        "a.b", ("to", "of"), "UPDATE t SET a = :to::int WHERE b = :of AND c <> :to"
    )
    assert statement.text == "UPDATE t SET a = $1::int WHERE b = $2 AND c <> $1"
    assert statement.values({"of": 2, "to": 1}) == (1, 2)


@pytest.mark.parametrize(
    "text",
    ["SELECT '10:30'", "SELECT 'it''s :a'", 'SELECT ":a"', "SELECT 1 -- :a",
     "SELECT /* :a\n :b */ 1", "SELECT now()::text", "SELECT x[1:2]"],
)  # fmt: skip
def test_a_colon_that_begins_no_parameter_stays(text: str) -> None:
    assert Statement("a.b", (), text).text == text


@pytest.mark.parametrize(
    ("parameters", "text"),
    [((), "SELECT :a"), (("a",), "SELECT 1"), (("a", "b"), "SELECT :a"), (("a", "a"), "SELECT :a")],
)
def test_other_parameters_than_those_of_its_head_are_refused(
    parameters: tuple[str, ...], text: str
) -> None:
    with pytest.raises(ValueError, match=r"^a\.b"):
        Statement("a.b", parameters, text)


@pytest.mark.parametrize(
    "arguments", [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 3}], ids=str
)
def test_other_arguments_than_its_parameters_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^a\.b"):
        Statement("a.b", ("a", "b"), "SELECT :a, :b").values(arguments)


@pytest.mark.parametrize("parameters", [(), ("a",), ("a", "b")], ids=len)
def test_as_many_arguments_as_parameters_are_given(parameters: tuple[str, ...]) -> None:
    source = "SELECT " + ", ".join(f":{name}" for name in parameters)
    arguments = dict.fromkeys(reversed(parameters), 1)
    assert Statement("a.b", parameters, source).values(arguments) == (1,) * len(parameters)


def test_a_file_is_read_by_heads_and_its_comments_are_not_sent() -> None:
    text = (
        "-- Of the file.\n\n-- name: one()\n-- What it does.\nSELECT 1 -- here\n\n"
        "-- name: two(a, b)\n-- What\n-- it does.\nSELECT :b, :a\n"
    )
    one, two = parse("things", text)
    assert (one.name, one.text) == ("things.one", "SELECT 1 -- here")
    assert (two.name, two.text) == ("things.two", "SELECT $2, $1")


@pytest.mark.parametrize("head", ["one", "one(", "one(a b)", "one(a,b)", "One()", "one() -- x"])
def test_a_head_that_is_no_name_with_parameters_is_refused(head: str) -> None:
    with pytest.raises(ValueError, match=r"^things: not name"):
        list(parse("things", f"-- name: {head}\nSELECT 1"))
