"""Figures of the code's shape: ``uv run python -m tools.code_figures [DIRECTORY]``.

Run it in two checkouts to compare them. What is counted is what is shipped: the packages below
``services/src`` and ``operator/src``. Complexity is ruff's C901 (McCabe); a waiver is a ``noqa``, a
``type: ignore`` or a ``fmt:`` comment.
"""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

MOST_COMPLEX = 8
"""Branches of a function, from which C901 reports it."""

_WAIVER = re.compile(r"# (?:noqa|type: ignore|fmt:)")
_VAGUE = re.compile(r"\b(?:somebody|nobody|whoever|anybody)\b", re.IGNORECASE)
_SOURCES = ("services/src", "operator/src")
_TEXT = (".py", ".sql", ".html", ".js")


def main() -> None:
    """Print one figure a line."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    for name, value in figures(root).items():
        print(f"{name:<44} {value}")


def figures(root: Path) -> dict[str, str]:
    """Each figure by its name, of the checkout at ``root``."""
    modules = _files(root, (".py",))
    lines = {path: path.read_text("utf-8").splitlines() for path in modules}
    total = sum(map(len, lines.values()))
    lengths = sorted(length for path in modules for length in _function_lengths(path))
    waivers = sum(1 for text in lines.values() for line in text if _WAIVER.search(line))
    folders = Counter(path.parent for path in modules)
    folder, files = folders.most_common(1)[0]
    longest = max(modules, key=lambda path: len(lines[path]))
    return {
        "modules": f"{len(modules)}",
        "lines": f"{total}",
        "longest module": f"{len(lines[longest])} ({longest.relative_to(root)})",
        "largest folder, modules": f"{files} ({folder.relative_to(root)})",
        "functions": f"{len(lengths)}",
        "lines of a function: median": f"{statistics.median(lengths):g}",
        "lines of a function: 90th percentile": f"{_percentile(lengths, 90):g}",
        "lines of a function: longest": f"{lengths[-1]}",
        "functions longer than 60 lines": f"{sum(1 for n in lengths if n > 60)}",  # noqa: PLR2004
        f"functions with C901 over {MOST_COMPLEX}": f"{_complex_functions(root)}",
        "waivers per 1 000 lines": f"{1000 * waivers / total:.1f}",
        "lines that name no actor (somebody …)": f"{_vague_lines(root)}",
    }


def _files(root: Path, endings: tuple[str, ...]) -> list[Path]:
    return sorted(
        path
        for source in _SOURCES
        for path in (root / source).rglob("*")
        if path.suffix in endings and "__pycache__" not in path.parts
    )


def _function_lengths(path: Path) -> list[int]:
    """Lines of each function, from ``def`` to its end, its docstring left out."""
    tree = ast.parse(path.read_text("utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                docstring = node.body[0]
                length -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
            found.append(length)
    return found


def _percentile(ordered: list[int], percent: int) -> float:
    return statistics.quantiles(ordered, n=100, method="inclusive")[percent - 1]


def _complex_functions(root: Path) -> int:
    config = f"lint.mccabe.max-complexity = {MOST_COMPLEX}"
    done = subprocess.run(
        ["ruff", "check", "--isolated", "--select", "C901", "--ignore-noqa", "--config", config,
         "--output-format", "json", "--exit-zero", *_SOURCES],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return len(json.loads(done.stdout))


def _vague_lines(root: Path) -> int:
    return sum(
        1
        for path in _files(root, _TEXT)
        for line in path.read_text("utf-8").splitlines()
        if _VAGUE.search(line)
    )


if __name__ == "__main__":
    main()
