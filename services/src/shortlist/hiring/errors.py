"""What hiring refuses. Nothing of the refused act or read has happened.

Each message is a sentence for people. The contract's codes are attributes; its numbers are not
here, since this layer knows no HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from shortlist.domain.errors import ShortlistError

if TYPE_CHECKING:
    from shortlist.domain.hiring.opening import Problem

Thing = Literal["applicant", "job", "application", "action"]
"""What a client may name that is not there, by the contract's words."""


class HiringError(ShortlistError):
    """An act or a read was refused."""


class NotFoundError(HiringError):
    """What was named is not there."""

    def __init__(self, what: Thing) -> None:
        """Say which kind of thing it is."""
        super().__init__(f"There is no such {what}.")
        self.what = what


class ConflictError(HiringError):
    """The act contradicts what is there."""

    def __init__(self, code: Literal["CONFLICT", "DUPLICATE_SUBMISSION"], message: str) -> None:
        """``code``: the contract's."""
        super().__init__(message)
        self.code = code


class GoneError(HiringError):
    """The act comes too late."""


class InvalidError(HiringError):
    """What was sent cannot be."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """``problems``: one for each fault, with the field's name in the contract."""
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems))
        self.problems = problems


class KeyReusedError(HiringError):
    """An idempotency key came again with another request."""

    def __init__(self) -> None:
        """Its message needs no more."""
        super().__init__("The idempotency key was used before, with another request.")


class BusyError(HiringError):
    """The process verifies another audit; the client is to try again later."""

    def __init__(self) -> None:
        """Its message needs no more."""
        super().__init__("Another audit is being verified. Try again later.")
