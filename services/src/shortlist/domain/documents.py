"""Reads nested documents (YAML, JSON) into dataclasses, and says precisely what is wrong with them.

A field's type and bounds stand at the field, by `msgspec.Meta`: msgspec checks a value by them, and
makes a JSON schema of them. What msgspec does not do is done here: every problem is found instead
of the first, each with the path of its field and what would be right, and a field that there is not
is a mistake, with a guess at what was meant.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

import msgspec
from msgspec import inspect

_LINE_CHARACTERS = 60
"""A value is shown in a message up to so many characters."""


@dataclass
class Reader:
    """Reads one document, piece by piece."""

    problems: list[str] = field(default_factory=list)
    """A sentence for each problem, beginning with the path of its field."""

    def read(self, kind: type, value: Any, path: str, beside: frozenset[str] = frozenset()) -> Any:
        """Read an object as a dataclass; None when anything in it is wrong.

        Args:
            kind: the dataclass; its ``snake_case`` fields are ``camelCase`` in the document.
            value: the object.
            path: where it stands in the document.
            beside: names of fields that are read by other calls, and are none of ``kind`` here.
        """
        if not isinstance(value, Mapping):
            return self._complain(path, f"must be an object, is {_shown(value)}")
        before = len(self.problems)
        hints = _hints(kind)
        ours = {camel_case(of.name): of for of in fields(kind)}
        ours = {name: of for name, of in ours.items() if name not in beside}
        found = {}
        for name, of in ours.items():
            at = f"{path}.{name}" if path else name
            if value.get(name) is not None:
                found[of.name] = self._field(hints[of.name], value[name], at)
            elif of.default is MISSING and of.default_factory is MISSING:
                self._complain(at, "is required")
        self._refuse_others(value, beside.union(ours), path)
        return kind(**found) if len(self.problems) == before else None

    def value(self, kind: Any, value: Any, path: str) -> Any:
        """Read a value of an annotated type; None when it is none."""
        wanted = inspect.type_info(kind)
        try:
            read = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            return self._complain(path, f"must be {_expected(wanted)}, is {_shown(value)}")
        if not _is_finite(value) or not _matches_in_full(wanted, value):
            return self._complain(path, f"must be {_expected(wanted)}, is {_shown(value)}")
        return read

    def _field(self, kind: Any, value: Any, path: str) -> Any:
        part = next((of for of in getattr(kind, "__args__", (kind,)) if is_dataclass(of)), None)
        if isinstance(part, type):
            return self.read(part, value, path)
        return self.value(kind, value, path)

    def _refuse_others(self, value: Mapping[str, Any], known: frozenset[str], path: str) -> None:
        for name in value:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                self._complain(f"{path}.{name}" if path else str(name), f"is no field here{hint}")

    def _complain(self, path: str, message: str) -> None:
        self.problems.append(f"{path or 'document'}: {message}")


def camel_case(name: str) -> str:
    """Name a field as a document does: ``min_replicas`` is ``minReplicas``."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _matches_in_full(wanted: inspect.Type, value: Any) -> bool:
    """``$`` of a pattern allows a newline after it, in Python alone."""
    if not isinstance(wanted, inspect.StrType) or wanted.pattern is None:
        return True
    return re.fullmatch(wanted.pattern, value) is not None


def _expected(wanted: inspect.Type) -> str:
    """Describe what would be right, as in “must be …”."""
    match wanted:
        case inspect.UnionType(types=types):
            return next(_expected(of) for of in types if not isinstance(of, inspect.NoneType))
        case inspect.LiteralType(values=values):
            return " or ".join(str(value) for value in values)
        case inspect.IntType():
            return f"a whole number{_range(wanted.ge, wanted.le)}"
        case inspect.FloatType():
            return f"a number{_range(wanted.ge, wanted.le)}"
        case inspect.StrType():
            return _expected_text(wanted)
    return "true or false" if isinstance(wanted, inspect.BoolType) else "an object"


def _expected_text(wanted: inspect.StrType) -> str:
    if wanted.pattern is not None:
        return f"a string that matches {wanted.pattern}"
    if wanted.max_length is not None:
        return f"a string of 1 to {wanted.max_length} characters"
    return "a string that is not empty"


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f" of at most {_number(most)}"
    if most is None:
        return f" of at least {_number(least)}"
    return f" from {_number(least)} to {_number(most)}"


def _number(bound: float) -> str:
    return str(int(bound) if bound == int(bound) else bound)


def _shown(value: Any) -> str:
    """Show a value in a message: short, and with its quotes."""
    shown = repr(value)
    return shown if len(shown) <= _LINE_CHARACTERS else f"{shown[: _LINE_CHARACTERS - 3]}..."
