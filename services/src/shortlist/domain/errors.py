"""The root of our errors, so that a caller can tell them from a library's; and what one says."""

from __future__ import annotations


class ShortlistError(Exception):
    """An error that Shortlist raises on purpose. Its message is for people."""


def message_of(error: BaseException) -> str:
    """Return what an error says, on one line; its name when it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
