"""Pages and tables of the documents that are made from what they describe.

``uv run python -m tools.docs_tables --write`` writes all of them; without ``--write`` it names
those that are out of date, as a test does. Not among them: what ingest answers to bad input, which
the test that asks it writes (`services/tests/integration/ingest/test_bad_input.py`).
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from prometheus_client import metrics
from prometheus_client.metrics import MetricWrapperBase

from shortlist.ingest.api.access import NEEDS
from shortlist.ingest.routes.listeners import ALL, HEALTH, ROUTES, public_groups
from shortlist.settings import Settings
from shortlist.settings import report as settings_report
from shortlist.storage.redis import keys
from shortlist.telemetry import metrics as service_metrics
from shortlist_operator import metrics as operator_metrics
from testkit.repository import ROOT
from tools.markdown import replaced, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VALUES = ROOT / "charts" / "shortlist" / "values.yaml"
RULES = ROOT / "charts" / "shortlist" / "rules" / "shortlist.yaml"


def metrics_table() -> str:
    """One line for each metric of ours and of the operator, by name."""
    defined = [*vars(service_metrics).values(), *vars(operator_metrics).values()]
    rows = sorted(_metric(metric) for metric in defined if _is_metric(metric))
    return table(["metric", "kind", "labels", "means"], rows)


def redis_table() -> str:
    """One line for each key of `shortlist.storage.redis.keys`."""
    tree = ast.parse(inspect.getsource(keys))
    rows = [*_constants(tree), *_functions(tree)]
    return table(["key", "what"], sorted(rows))


def values_table() -> str:
    """One line for each value of the chart that has a comment, in the file's order."""
    defaults = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    rows = [
        (f"`{path}`", f"`{json.dumps(_value_at(defaults, path))}`", words)
        for path, words in documented_values()
    ]
    return table(["value", "default", "means"], rows)


def documented_values() -> Iterator[tuple[str, str]]:
    """Yield the path of each value of the chart with a helm-docs comment, and its words."""
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
    return table(["alert", "severity", "says"], rows)


def listeners_table() -> str:
    """Each group of ingest's routes, and where it is served."""
    arrangements = [Settings(), Settings(metrics_port=0), Settings(private_port=0)]
    served = [*(public_groups(settings) for settings in arrangements), ALL, HEALTH]
    rows = [
        (words, *("yes" if group in groups else "404" for groups in served))
        for group, words in ROUTES.items()
    ]
    public = ("public port, alone", "with a health port", "with a private port")
    return table(["what", *public, "private port", "health port"], rows)


def access_table() -> str:
    """Each route of ``/api``, and the scopes of which a key needs one."""
    return table(
        ["call", "a key with"],
        [
            (f"`{call}`", "none needed" if isinstance(need, str) else " or ".join(sorted(need)))
            for call, need in NEEDS.items()
        ],
    )


TABLES: dict[str, Callable[[], str]] = {
    "docs/security.md": listeners_table,
    "docs/hiring.md": access_table,
    "docs/metrics.md": metrics_table,
    "docs/redis.md": redis_table,
    "docs/runbooks/README.md": alerts_table,
    "charts/shortlist/README.md": values_table,
}


def _settings_page(_: str) -> str:
    return settings_report.markdown()


def _page_with(make_table: Callable[[], str]) -> Callable[[str], str]:
    return lambda text: replaced(text, "table", make_table())


PAGES: dict[str, Callable[[str], str]] = {
    **{page: _page_with(make_table) for page, make_table in TABLES.items()},
    "docs/settings.md": _settings_page,
}
"""Each page by its path, and what makes it of its present text."""


def outdated() -> dict[str, str]:
    """Return what should stand in each page that says something else, by its path."""
    found = {}
    for page, make in PAGES.items():
        text = (ROOT / page).read_text("utf-8")
        if (made := make(text)) != text:
            found[page] = made
    return found


def _value_at(tree: Any, path: str) -> Any:
    for name in path.split("."):
        tree = tree[name]
    return tree


def _is_metric(value: object) -> bool:
    return isinstance(value, MetricWrapperBase)


def _metric(metric: MetricWrapperBase) -> tuple[str, ...]:
    description = next(iter(metric.describe()))
    suffix = "_total" if isinstance(metric, metrics.Counter) else ""
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 (nothing public tells)
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


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    write: Annotated[bool, typer.Option("--write", help="Write them as well.")] = False,
) -> None:
    """Name the pages that no longer say what the code says, or write them.

    Takes seconds, and needs no server. Ends with 1 when a page is out of date and was not written.
    """
    pages = outdated()
    for page, text in pages.items():
        print(f"{'written' if write else 'out of date'}: {page}")
        if write:
            (ROOT / page).write_text(text, "utf-8")
    sys.exit(int(bool(pages) and not write))


if __name__ == "__main__":
    app()
