"""Reads ``sql/<aggregate>.sql``: each statement by its name, with named parameters.

A statement begins with a line like ``-- name: postpone(application_id, pipeline, seconds)``, which
names its parameters, and with the comment that explains it; neither is sent. Its text has
``:seconds`` where Postgres has ``$3``: that is replaced once, when the file is read. A parameter
that is not named there, or is not used, is refused then. An argument that is missing, or has
another name, is refused by each call, before anything is sent.
"""

from __future__ import annotations

import re
from importlib.resources import files
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from asyncpg import Record

    from shortlist.storage.postgres import Connection

_HEAD = re.compile(r"^-- name:(.*)\n(?:--.*\n)*", re.MULTILINE)
_SIGNATURE = re.compile(r" ([a-z]\w*)\(((?:[a-z]\w*(?:, )?)*)\)")

_TOKEN = re.compile(
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*"     # texts and quoted names,
    | --[^\n]* | /\*.*?\*/              # comments
    | ::                                # and casts are left as they are
    | :(?P<parameter>[a-z]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


class Statement:
    """A statement and its parameters. Each method takes the arguments by name, and sends it."""

    __slots__ = ("_pick", "name", "parameters", "source", "text")

    def __init__(self, name: str, parameters: Sequence[str], source: str) -> None:
        """``source`` has parameters as ``:name``; raises `ValueError` if they are other ones."""
        self.name = name
        self.parameters = tuple(parameters)
        self.source = source
        found = {match["parameter"] for match in _TOKEN.finditer(source)} - {None}
        if sorted(found) != sorted(self.parameters):
            raise ValueError(f"{name}{self.parameters} has the parameters {sorted(found)}")
        self._pick = _picker(self.parameters)
        self.text = _TOKEN.sub(self._number, source)
        """As Postgres takes it: with ``$1`` for the first of `parameters`."""

    def values(self, arguments: Mapping[str, Any], /) -> tuple[Any, ...]:
        """Values in the order of `parameters`; raises `TypeError` unless each is given."""
        try:
            if len(arguments) == len(self.parameters):
                return self._pick(arguments)
        except KeyError:
            pass
        raise TypeError(f"{self.name}{self.parameters} was given {tuple(arguments)}")

    def fetch(self, connection: Connection, /, **arguments: Any) -> Awaitable[list[Record]]:
        """Send it; returns its rows."""
        rows: Awaitable[list[Record]] = connection.fetch(self.text, *self.values(arguments))
        return rows

    def fetchrow(self, connection: Connection, /, **arguments: Any) -> Awaitable[Record | None]:
        """Send it; returns its first row, if there is any."""
        row: Awaitable[Record | None] = connection.fetchrow(self.text, *self.values(arguments))
        return row

    def fetchval(self, connection: Connection, /, **arguments: Any) -> Awaitable[Any]:
        """Send it; returns the first value of its first row, or None."""
        value: Awaitable[Any] = connection.fetchval(self.text, *self.values(arguments))
        return value

    def execute(self, connection: Connection, /, **arguments: Any) -> Awaitable[str]:
        """Send it; returns its tag, like ``INSERT 0 1``."""
        tag: Awaitable[str] = connection.execute(self.text, *self.values(arguments))
        return tag

    def _number(self, match: re.Match[str]) -> str:
        parameter = match["parameter"]
        return f"${self.parameters.index(parameter) + 1}" if parameter else match[0]


def _picker(parameters: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Make a function that picks these out of a mapping; `itemgetter` makes a tuple of several."""
    if len(parameters) > 1:
        return itemgetter(*parameters)
    return lambda arguments: tuple(arguments[parameter] for parameter in parameters)


def parse(aggregate: str, text: str) -> Iterator[Statement]:
    """Read the statements of one file, which are named after its ``aggregate``."""
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    for head, end in zip(heads, ends, strict=True):
        signature = _SIGNATURE.fullmatch(head[1])
        if signature is None:
            raise ValueError(f"{aggregate}: not name(parameter, …):{head[1]}")
        parameters = signature[2].split(", ") if signature[2] else []
        yield Statement(f"{aggregate}.{signature[1]}", parameters, text[head.end() : end].strip())


def _files(folder: Traversable) -> Iterator[Traversable]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry)
        elif entry.name.endswith(".sql"):
            yield entry


def _read() -> dict[str, Statement]:
    statements: dict[str, Statement] = {}
    for file in _files(files("shortlist.storage.postgres") / "sql"):
        for statement in parse(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")):
            if statement.name in statements:
                raise ValueError(f"{statement.name} is there twice")
            statements[statement.name] = statement
    return statements


SQL = _read()
"""Statements by name: ``claims.postpone`` is ``postpone`` of ``sql/claims.sql``."""
