"""What each guard of the product prevents, put back in place of the guard: a few lines each.

An off-switch test starts a process with one of these (`support.stack.Stack.start`) and expects the
test of the guard to fail.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def replace(target: str, new: Any) -> Any:
    """Put ``new`` where ``package.module:Name.attribute`` is; returns what was there.

    Raises `AttributeError` when nothing is there: the guard moved, and its patch must follow.
    """
    module_name, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module_name)
    for attribute in owners:
        owner = getattr(owner, attribute)
    old = getattr(owner, name)
    setattr(owner, name, new)
    return old


GUARDS: dict[str, Callable[[], object]] = {}
"""By name: applies the patch in the process that is starting."""
