"""Markdown tables, and the places between marks that commands write them into.

A place begins with ``<!-- NAME -->`` and ends with ``<!-- end of NAME -->``, each on its own line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, without a line end after it."""
    return "\n".join([*head_lines(head), *map(line, rows)])


def head_lines(head: Sequence[str]) -> Iterator[str]:
    """Return a table's first two lines."""
    yield line(head)
    yield line(["---"] * len(head))


def line(cells: Sequence[str]) -> str:
    """Return one row of a table."""
    return "| " + " | ".join(cells) + " |"


def replaced(text: str, name: str, content: str) -> str:
    """Return a page with other content between its marks.

    Raises:
        ValueError: the page has no such place, or more than one.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{content}\n\n{end}{after}"


def put(page: Path, name: str, content: str) -> None:
    """Write content between the marks of a page."""
    page.write_text(replaced(page.read_text("utf-8"), name, content), "utf-8")
