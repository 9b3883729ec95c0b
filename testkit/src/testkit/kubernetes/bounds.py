"""The resource's rules and bounds, one by one, each with an object that breaks it and nothing else.

What breaks a bound of the schema is made from the schema, so that no bound is forgotten. What
breaks a rule (CEL) cannot be; `test_resource_rules.py` has a list of those, and compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
Path = tuple[str, ...]
"""The way to a field: names, and ``[]`` for the items of a list."""

LISTED = "[]"

_TIME = "date-time"

_WRONG_TYPES = {
    "integer": "x",
    "number": "x",
    "string": 1,
    "boolean": "x",
    "object": [],
    "array": {},
}


@dataclass(frozen=True)
class Bound:
    """One bound of a field: a value beyond it, and what the API server says to that."""

    path: Path
    name: str
    value: Any
    message: str

    def __str__(self) -> str:
        """For a test's name."""
        return f"{dotted(self.path)} {self.name}"


def dotted(path: Path) -> str:
    """As people write it, and the API server nearly does."""
    return ".".join(path).replace(f".{LISTED}", LISTED)


def bounds(schema: Json, path: Path) -> Iterator[Bound]:
    """Every bound of a schema and of what is in it."""
    for name, value, message in _beyond(schema):
        yield Bound(path, name, value, message)
    for name in schema.get("required", []):
        whole = sample(schema)
        del whole[name]
        yield Bound(path, f"required {name}", whole, f"{name}: Required value")
    for name, of in schema.get("properties", {}).items():
        yield from bounds(of, (*path, name))
    if "items" in schema:
        yield from bounds(schema["items"], (*path, LISTED))


def _beyond(schema: Json) -> Iterator[tuple[str, Any, str]]:
    kind = schema["type"]
    yield (
        "type",
        _WRONG_TYPES[kind],
        f"must be of type {_TIME if schema.get('format') == _TIME else kind}",
    )
    if "minimum" in schema:
        yield "minimum", schema["minimum"] - 1, "should be greater than or equal to"
    if "maximum" in schema:
        yield "maximum", schema["maximum"] + 1, "should be less than or equal to"
    if "minLength" in schema:
        yield "minLength", "x" * (schema["minLength"] - 1), "should be at least"
    if "maxLength" in schema:
        yield "maxLength", "x" * (schema["maxLength"] + 1), "Too long"
    if "enum" in schema:
        yield "enum", "neither", "Unsupported value"
    if "pattern" in schema:
        yield "pattern", "not this", "should match"
    if schema.get("format") == _TIME:
        yield "format", "yesterday", "must be of type date-time"


def rules(schema: Json, path: Path) -> Iterator[tuple[str, str, str]]:
    """Every rule: where it stands, the rule, and its message."""
    for rule in schema.get("x-kubernetes-validations", []):
        yield dotted(path), rule["rule"], rule["message"]
    for name, of in schema.get("properties", {}).items():
        yield from rules(of, (*path, name))
    if "items" in schema:
        yield from rules(schema["items"], (*path, LISTED))


def sample(schema: Json) -> Any:
    """The least that a schema takes."""
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") == _TIME:
        return "2026-01-01T00:00:00Z"
    if schema["type"] == "object":
        return {name: sample(schema["properties"][name]) for name in schema.get("required", [])}
    return {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": []}[schema["type"]]


def placed(schema: Json, path: Path, value: Any) -> Any:
    """The least object that has ``value`` at ``path``."""
    if not path:
        return value
    name, rest = path[0], path[1:]
    if name == LISTED:
        return [placed(schema["items"], rest, value)]
    below = placed(schema["properties"][name], rest, value)
    return sample(schema | {"default": {}} if "required" not in schema else _bare(schema)) | {
        name: below
    }


def _bare(schema: Json) -> Json:
    return {name: value for name, value in schema.items() if name != "default"}
