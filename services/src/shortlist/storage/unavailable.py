"""The error of what cannot be done while Postgres does not answer."""

from __future__ import annotations

from shortlist.domain.errors import ShortlistError


class DatabaseUnavailableError(ShortlistError):
    """Postgres does not answer. Nothing was done."""

    def __init__(self) -> None:
        """Its message is what this class says of itself."""
        super().__init__(type(self).__doc__)
