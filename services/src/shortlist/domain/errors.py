"""The root of our errors, so that a caller can tell them from those of a library."""

from __future__ import annotations


class ShortlistError(Exception):
    """An error that Shortlist raises on purpose. Its message is for people."""
