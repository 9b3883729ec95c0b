"""Passwords as generators make them and people choose them, and what must not be seen of one."""

from __future__ import annotations

from urllib.parse import quote

_CHARACTERS = "#/?@%: '\"\\&=+,;[]{}|^`<>$!*()~é字\u2028"

AWKWARD = [
    *(f"Whole{c}Secret{c}123" for c in _CHARACTERS),
    *(f"12{c}SecretRest" for c in "#/?@:"),
    "".join(f"{c}Part{number}" for number, c in enumerate(_CHARACTERS)),
    "50%Secret",
    "%41Secret%",
]

_SHORTEST = 4


def fragments(password: str) -> set[str]:
    """Every part of a password between its odd characters, and the whole as it may be written."""
    parts, part = set(), ""
    for character in [*password, "#"]:
        if character.isascii() and character.isalnum():
            part += character
        else:
            parts.add(part)
            part = ""
    whole = {password, quote(password), quote(password, safe=""), repr(password)[1:-1]}
    return {part for part in parts | whole if len(part) >= _SHORTEST}
