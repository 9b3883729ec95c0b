"""The tables of listeners, metrics, Redis keys, values and alerts, made from what they describe.

``uv run python services/tests/support/tables.py`` writes them; `test_docs.py` compares.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from typing import TYPE_CHECKING, Any

import yaml
from prometheus_client import metrics
from prometheus_client.metrics import MetricWrapperBase

from shortlist.ingest.listeners import ALL, HEALTH, ROUTES, public_groups
from shortlist.settings import Settings
from shortlist.storage.redis import keys
from shortlist.telemetry import metrics as service_metrics
from shortlist_operator import metrics as operator_metrics
from testkit.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

VALUES = ROOT / "charts" / "shortlist" / "values.yaml"
RULES = ROOT / "charts" / "shortlist" / "rules" / "shortlist.yaml"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"


def metrics_table() -> str:
    """One line for each metric of ours and of the operator, by name."""
    defined = [*vars(service_metrics).values(), *vars(operator_metrics).values()]
    rows = sorted(_metric(metric) for metric in defined if _is_metric(metric))
    return markdown_table(["metric", "kind", "labels", "means"], rows)


def redis_table() -> str:
    """One line for each key of `shortlist.storage.redis.keys`."""
    tree = ast.parse(inspect.getsource(keys))
    rows = [*_constants(tree), *_functions(tree)]
    return markdown_table(["key", "what"], sorted(rows))


def values_table() -> str:
    """One line for each value of the chart that has a comment, in the file's order."""
    defaults = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    rows = [
        (f"`{path}`", f"`{json.dumps(_value_at(defaults, path))}`", words)
        for path, words in documented_values()
    ]
    return markdown_table(["value", "default", "means"], rows)


def documented_values() -> Iterator[tuple[str, str]]:
    """The path of each value of the chart that has a comment of helm-docs' form, and its words."""
    path: list[tuple[int, str]] = []
    words: list[str] = []
    for line in VALUES.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            words = [text.removeprefix("# -- ")]
        elif text.startswith("# ") and words:
            words.append(text.removeprefix("# "))
        elif key := re.match(r"( *)(\w+):", line):
            path = [(depth, name) for depth, name in path if depth < len(key[1])]
            path.append((len(key[1]), key[2]))
            if words:
                yield ".".join(name for _, name in path), " ".join(words)
            words = []
        else:
            words = []


def alerts_table() -> str:
    """One line for each alert of the chart, by name, with its page."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rows = sorted(
        (
            f"[{rule['alert']}]({rule['alert']}.md)",
            rule["labels"]["severity"],
            rule["annotations"]["summary"],
        )
        for group in groups
        for rule in group["rules"]
    )
    return markdown_table(["alert", "severity", "says"], rows)


def listeners_table() -> str:
    """Each group of ingest's routes, and where it is served."""
    arrangements = [Settings(), Settings(metrics_port=0), Settings(private_port=0)]
    served = [*(public_groups(settings) for settings in arrangements), ALL, HEALTH]
    rows = [
        (words, *("yes" if group in groups else "404" for groups in served))
        for group, words in ROUTES.items()
    ]
    public = ("public port, alone", "with a health port", "with a private port")
    return markdown_table(["what", *public, "private port", "health port"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "docs/security.md": listeners_table,
    "docs/metrics.md": metrics_table,
    "docs/redis.md": redis_table,
    "docs/runbooks/README.md": alerts_table,
    "charts/shortlist/README.md": values_table,
}


def with_table(text: str, table: str) -> str:
    """A page with its table replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table + END + after


def _value_at(tree: Any, path: str) -> Any:
    for name in path.split("."):
        tree = tree[name]
    return tree


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


def markdown_table(head: list[str], rows: Sequence[tuple[str, ...]]) -> str:
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
