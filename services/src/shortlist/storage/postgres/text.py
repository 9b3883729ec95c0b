"""Text as Postgres and UTF-8 can hold it.

What did not come through our own checks is cleaned here, where it is written: a model's reply, an
error's body, a header, the name of a host or a user may hold NUL, which no text of Postgres can, or
lone surrogates, which no UTF-8 can. Each becomes U+FFFD, the replacement character.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """Replace each character that cannot be written."""
    if text.isascii() and "\x00" not in text:
        return text
    return _UNWRITABLE.sub(_REPLACEMENT, text)


def as_json(value: Any) -> str:
    """Encode a value as JSON that Postgres's ``jsonb`` takes; what has no JSON becomes text."""
    return json.dumps(_cleaned(value), default=_as_text)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _as_text(value: object) -> str:
    return clean(str(value))
