"""Reads nested documents (YAML, JSON) strictly, and says precisely what is wrong with them.

A `Reader` walks one object. It collects every problem instead of stopping at the first, each with
the path of its field, and it knows which fields were asked for: whatever is left is a mistake.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reader:
    """One object of a document; ``problems`` is shared with the readers of its children."""

    value: Mapping[str, Any]
    path: str
    problems: list[str]
    _known: set[str] = field(default_factory=set)

    def child(self, name: str, *, required: bool = False) -> Reader:
        """The reader of an object inside; an empty one when it is absent or no object."""
        raw = self._take(name, required=required)
        if raw is not None and not isinstance(raw, Mapping):
            self._complain(name, f"must be an object, is {_shown(raw)}")
        value = raw if isinstance(raw, Mapping) else {}
        return Reader(value, self._at(name), self.problems)

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        """An object that is kept as it is; None when it is absent."""
        raw = self._take(name)
        if raw is None or isinstance(raw, Mapping):
            return raw
        self._complain(name, f"must be an object, is {_shown(raw)}")
        return None

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self.value.get(name) is not None

    def integer(self, name: str, default: int, *, minimum: int, maximum: int | None = None) -> int:
        """A whole number within bounds."""
        found = self.optional_integer(name, minimum=minimum, maximum=maximum)
        return default if found is None else found

    def optional_integer(
        self, name: str, *, minimum: int, maximum: int | None = None
    ) -> int | None:
        """A whole number within bounds; None when it is absent or null."""
        raw = self._take(name)
        if raw is None:
            return None
        if isinstance(raw, bool) or not isinstance(raw, int):
            self._complain(name, f"must be a whole number, is {_shown(raw)}")
            return None
        return raw if self._within(name, raw, minimum, maximum) else None

    def number(
        self, name: str, default: float, *, minimum: float, maximum: float | None = None
    ) -> float:
        """A number within bounds."""
        raw = self._take(name)
        if raw is None:
            return default
        number = _number(raw)
        if number is None:
            self._complain(name, f"must be a number, is {_shown(raw)}")
            return default
        return number if self._within(name, raw, minimum, maximum) else default

    def boolean(self, name: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        raw = self._take(name)
        if raw is None:
            return default
        if not isinstance(raw, bool):
            self._complain(name, f"must be true or false, is {_shown(raw)}")
            return default
        return raw

    def text(
        self, name: str, default: str = "", *, pattern: str = "", required: bool = False
    ) -> str:
        """A string that matches ``pattern`` in full and is not empty."""
        raw = self._take(name, required=required)
        if raw is None:
            return default
        if not isinstance(raw, str) or not raw:
            self._complain(name, f"must be a string that is not empty, is {_shown(raw)}")
            return default
        if pattern and not re.fullmatch(pattern, raw):
            self._complain(name, f"must match {pattern}, is {_shown(raw)}")
            return default
        return raw

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of ``choices``; required when there is no default."""
        raw = self._take(name, required=default is None)
        fallback = default or choices[0]
        if raw is None:
            return fallback
        if raw not in choices:
            self._complain(name, f"must be {' or '.join(choices)}, is {_shown(raw)}")
            return fallback
        return str(raw)

    def ignore(self, *names: str) -> None:
        """Accept fields that another reader of the document checks."""
        self._known.update(names)

    def finish(self) -> None:
        """Complain about fields that no reader has asked for."""
        for name in self.value:
            if name not in self._known:
                close = difflib.get_close_matches(str(name), self._known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                self._complain(str(name), f"is no field here{hint}")

    def problem(self, message: str) -> None:
        """Something is wrong with the object as a whole."""
        self.problems.append(f"{self.path or 'document'}: {message}")

    def _take(self, name: str, *, required: bool = False) -> Any:
        self._known.add(name)
        raw = self.value.get(name)
        if raw is None and required:
            self._complain(name, "is required")
        return raw

    def _within(self, name: str, number: float, minimum: float, maximum: float | None) -> bool:
        if number < minimum:
            self._complain(name, f"must be at least {minimum}, is {number}")
            return False
        if maximum is not None and number > maximum:
            self._complain(name, f"must be at most {maximum}, is {number}")
            return False
        return True

    def _complain(self, name: str, message: str) -> None:
        self.problems.append(f"{self._at(name)}: {message}")

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def _number(raw: Any) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    try:
        number = float(raw)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(raw: Any) -> str:
    """A value in a message: short, and with its quotes."""
    shown = repr(raw)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."  # noqa: PLR2004 (a line's worth)
