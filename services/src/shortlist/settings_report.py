"""Settings for people: loaded with errors that one can act on, printed with their source."""

from __future__ import annotations

import difflib
import json
import os
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic_settings import SettingsError

from shortlist.settings import Settings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Source = Literal["default", "environment", "flag"]

_PREFIX = "SHORTLIST_"
_NOT_SETTINGS = {"SHORTLIST_FAILPOINTS", "SHORTLIST_GUARDS_OFF"}
"""For tests only; see `shortlist.failpoints`."""

SECTIONS = {
    "database_url": "Where things are",
    "log_level": "Logs and traces",
    "body_limit_bytes": "Ingest",
    "pipeline": "Worker",
    "scorer": "Scorer",
    "maintenance_lease_seconds": "Maintenance",
}
"""The field with which each section of the page begins."""


class BadSettingsError(ValueError):
    """Some settings cannot be used; the message names each and says why, on one line."""


def load(flags: dict[str, Any]) -> Settings:
    """Settings from the environment, overridden by ``flags`` (field name → value)."""
    try:
        return Settings(**flags)
    except ValidationError as error:
        raise BadSettingsError("; ".join(_problem(e, flags) for e in error.errors())) from None
    except SettingsError as error:
        raise BadSettingsError(str(error)) from None


def variable(name: str) -> str:
    """The environment variable that sets a field."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return next(str(choice) for choice in alias.choices if str(choice).isupper())
    return _PREFIX + name.upper()


def source(settings: Settings, name: str, flags: frozenset[str] = frozenset()) -> Source:
    """Where a field's value came from."""
    if name in flags:
        return "flag"
    return "environment" if name in settings.model_fields_set else "default"


def text(settings: Settings, flags: frozenset[str] = frozenset()) -> str:
    """A table for a terminal: variable, value, source."""
    rows = [
        (variable(name), _shown(getattr(settings, name)), source(settings, name, flags))
        for name in Settings.model_fields
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows)


def as_json(settings: Settings, flags: frozenset[str] = frozenset()) -> str:
    """The same for programs: variable → value and source."""
    report = {
        variable(name): {
            "value": _shown(value) if isinstance(value, SecretStr) else value,
            "source": source(settings, name, flags),
        }
        for name, value in ((name, getattr(settings, name)) for name in Settings.model_fields)
    }
    return json.dumps(report, indent=2)


def markdown() -> str:
    """The page ``docs/settings.md``."""
    lines = [
        "# Settings",
        "",
        "A process reads its settings from the environment when it starts. `shortlist settings`",
        "prints them with their source. This page is made by",
        "`shortlist settings --format markdown > docs/settings.md`, and a test compares the two.",
    ]
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            lines += [
                "",
                f"## {SECTIONS[name]}",
                "",
                "| variable | default | means |",
                "|---|---|---|",
            ]
        lines.append(
            f"| `{variable(name)}` | {_default(field)} | {_cell(field.description or '')} |"
        )
    return "\n".join(lines) + "\n"


def warnings() -> list[str]:
    """A sentence for each variable that looks like one of ours and is none."""
    known = {variable(name) for name in Settings.model_fields} | _NOT_SETTINGS
    known |= {_PREFIX + name.upper() for name in Settings.model_fields}
    return [_unknown(name, known) for name in sorted(os.environ) if _is_stray(name, known)]


def _is_stray(name: str, known: set[str]) -> bool:
    return name.startswith(_PREFIX) and name not in known


def _unknown(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"shortlist: {name} is set but is no setting.{hint}"


def _problem(error: Any, flags: dict[str, Any]) -> str:
    """One bad value in words. The value itself is left out: it may be a secret."""
    message = error["msg"].removeprefix("Value error, ")
    place = str(error["loc"][0]) if error["loc"] else ""
    if not place:
        return str(message)
    name = next((n for n in Settings.model_fields if place in (n, variable(n))), place)
    if name in flags:
        return f"--{name.replace('_', '-')}: {message}"
    return f"{variable(name) if name in Settings.model_fields else name}: {message}"


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return _masked(value.get_secret_value())
    line, more, _ = ("" if value is None else str(value)).partition("\n")
    return f"{line} …" if more else line


def _masked(secret: str) -> str:
    """A secret's place without the secret: of a URL the password goes, of a key all goes."""
    scheme, separator, rest = secret.partition("://")
    if not separator:
        return "********" if secret else ""
    credentials, at, place = rest.rpartition("@")
    user, colon, _ = credentials.partition(":")
    place = place.partition("?")[0]  # a query may carry a password too
    return f"{scheme}://{user}{':********' if colon else ''}{at}{place}"


def _default(field: FieldInfo) -> str:
    default = field.default
    shown = default.get_secret_value() if isinstance(default, SecretStr) else default
    return "" if shown is None else f"`{shown}`"


def _cell(sentence: str) -> str:
    return sentence.replace("|", "\\|")
