"""The tables of docs/metrics.md and docs/redis.md, made from the code that they describe.

``uv run python services/tests/support/tables.py`` writes them; `test_docs.py` compares.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import metrics
from prometheus_client.metrics import MetricWrapperBase

from shortlist import telemetry
from shortlist.storage import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[3]
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"


def metrics_table() -> str:
    """One line for each metric of `shortlist.telemetry`, by name."""
    rows = sorted(_metric(metric) for metric in vars(telemetry).values() if _is_metric(metric))
    return markdown_table(["metric", "kind", "labels", "means"], rows)


def redis_table() -> str:
    """One line for each key of `shortlist.storage.keys`."""
    tree = ast.parse(inspect.getsource(keys))
    rows = [*_constants(tree), *_functions(tree)]
    return markdown_table(["key", "what"], sorted(rows))


TABLES: dict[str, Callable[[], str]] = {
    "docs/metrics.md": metrics_table,
    "docs/redis.md": redis_table,
}


def with_table(text: str, table: str) -> str:
    """A page with its table replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table + END + after


def _is_metric(value: object) -> bool:
    return isinstance(value, MetricWrapperBase)


def _metric(metric: MetricWrapperBase) -> tuple[str, ...]:
    description = next(iter(metric.describe()))
    suffix = "_total" if isinstance(metric, metrics.Counter) else ""
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"`{description.name}{suffix}`", description.type, labels, description.documentation


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Constants that are whole keys, each with the string below it."""
    for statement, text in zip(tree.body, tree.body[1:], strict=False):
        match statement, text:
            case (
                ast.Assign(value=ast.Constant(value=str(key))),
                ast.Expr(value=ast.Constant(value=str(words))),
            ) if key.startswith("sl:"):
                yield f"`{key}`", _one_line(words)


def _functions(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            argument = function.args.args[0].arg
            key = getattr(keys, function.name)(argument.upper())
            yield f"`{key}`", _one_line(ast.get_docstring(function) or "")


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def markdown_table(head: list[str], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Write the tables into their pages."""
    for page, table in TABLES.items():
        path = ROOT / page
        path.write_text(with_table(path.read_text(encoding="utf-8"), table()), encoding="utf-8")


if __name__ == "__main__":
    main()
