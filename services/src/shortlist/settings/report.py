"""Settings for people: loaded with errors that one can act on, printed with their source."""

from __future__ import annotations

import difflib
import json
import os
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr

from shortlist.settings import (
    PREFIX,
    PROCESSES,
    BadSettingsError,
    CommonSettings,
    DashboardSettings,
    IngestSettings,
    MaintenanceSettings,
    MigrateSettings,
    Settings,
    WorkerSettings,
    variable,
)
from shortlist.settings import load as load_as
from shortlist.settings.base import PROTOCOL
from shortlist.settings.retired import retired
from shortlist.urls import DatabaseUrl, RedisUrl, ServerUrl, without_credentials

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic.fields import FieldInfo

Source = Literal["default", "environment", "flag"]

__all__ = ["BadSettingsError", "load", "variable"]

_NO_URLS = (DatabaseUrl(""), RedisUrl(""))
_NOT_SETTINGS = {"SHORTLIST_FAILPOINTS"}
"""For tests only; see `shortlist.runtime.failpoints`."""

SECTIONS: dict[type[CommonSettings], str] = {
    CommonSettings: "Every process",
    IngestSettings: "Ingest",
    WorkerSettings: "Worker",
    MaintenanceSettings: "Maintenance",
    DashboardSettings: "Dashboard",
    MigrateSettings: "Migration",
}
"""The page's sections: what a process reads is in its own and in the first."""


def load(
    flags: dict[str, Any], needed: Collection[tuple[str, ...]] = (), process: str = "up"
) -> CommonSettings:
    """Read one process's settings, of environment and ``flags``; see `shortlist.settings.load`."""
    return load_as(PROCESSES[process], flags, needed)


def _shown_fields(kind: type[CommonSettings]) -> dict[str, FieldInfo]:
    """Pick what a person may set: not the protocol between a process and what starts it."""
    fields = kind.model_fields
    return {name: f for name, f in fields.items() if f.json_schema_extra != PROTOCOL}


def source(settings: CommonSettings, name: str, flags: frozenset[str] = frozenset()) -> Source:
    """Return where a field's value came from."""
    if name in flags:
        return "flag"
    return "environment" if name in settings.model_fields_set else "default"


def text(settings: CommonSettings, flags: frozenset[str] = frozenset()) -> str:
    """Return a table for a terminal: variable, value, source."""
    rows = [
        (variable(name, Settings), _shown(getattr(settings, name)), source(settings, name, flags))
        for name in _shown_fields(type(settings))
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows)


def as_json(settings: CommonSettings, flags: frozenset[str] = frozenset()) -> str:
    """Return the same for programs: variable → value and source."""
    report = {
        variable(name, Settings): {
            "value": _shown(value) if isinstance(value, SecretStr | str) else value,
            "source": source(settings, name, flags),
        }
        for name, value in ((n, getattr(settings, n)) for n in _shown_fields(type(settings)))
    }
    return json.dumps(report, indent=2)


def markdown() -> str:
    """Return the page ``docs/settings.md``."""
    lines = [
        "# Settings",
        "",
        "A process reads its own settings from the environment when it starts, and refuses a bad",
        "one; `shortlist settings PROCESS` prints them with their source. `shortlist up` reads all",
        "of them, and hands them on to the processes that it starts. This page is made by",
        "`uv run python -m tools.docs_tables --write`; `shortlist settings --format markdown`",
        "prints the same.",
    ]
    for kind, section in SECTIONS.items():
        lines += ["", f"## {section}", "", "| variable | default | means |", "|---|---|---|"]
        shown = _shown_fields(kind)
        lines += [_row(name, shown[name]) for name in kind.__annotations__ if name in shown]
    return "\n".join(lines) + "\n"


def _row(name: str, field: FieldInfo) -> str:
    return (
        f"| `{variable(name, Settings)}` | {_default(field)} | {_cell(field.description or '')} |"
    )


def warnings() -> list[str]:
    """Return a sentence for each variable that looks like one of ours and is none."""
    gone = retired()
    known = {variable(name, Settings) for name in Settings.model_fields} | _NOT_SETTINGS
    known |= {PREFIX + name.upper() for name in Settings.model_fields} | gone.keys()
    strays = [_unknown(name, known) for name in sorted(os.environ) if _is_stray(name, known)]
    return [f"shortlist: {name} {why}." for name, why in gone.items()] + strays


def _is_stray(name: str, known: set[str]) -> bool:
    return name.startswith(PREFIX) and name not in known


def _unknown(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"shortlist: {name} is set but is no setting.{hint}"


def _shown(value: object) -> str:
    if isinstance(value, ServerUrl):
        return value.shown if value else ""
    if isinstance(value, SecretStr):
        return "********" if value else ""
    line, more, _ = ("" if value is None else str(value)).partition("\n")
    return without_credentials(f"{line} …" if more else line)


def _default(field: FieldInfo) -> str:
    default = field.default
    return "" if default is None or default in _NO_URLS else f"`{default}`"


def _cell(sentence: str) -> str:
    return sentence.replace("|", "\\|")
