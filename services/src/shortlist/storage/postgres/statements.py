"""Reads ``queries.sql``: hot SQL stays SQL, each query named, explained, and used by its name."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def _read() -> dict[str, str]:
    text = files("shortlist.storage.postgres").joinpath("queries.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


SQL = _read()
"""Query text by name."""
