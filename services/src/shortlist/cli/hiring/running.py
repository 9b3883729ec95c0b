"""How a command of hiring runs: on its own connections, and with a sentence if it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.cli.command import fail, read_settings, run
from shortlist.domain.errors import ShortlistError
from shortlist.runtime import exit_codes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.urls import DatabaseUrl


class RefusedError(ShortlistError):
    """What a command was asked for cannot be; nothing was done."""


def run_command(
    command: str, work: Callable[[DatabaseUrl], Awaitable[None]], flags: dict[str, Any]
) -> None:
    """Do a command's work on the Postgres that is named, and exit."""
    settings = read_settings(command, **flags)

    async def worked(_: object) -> int:
        try:
            await work(settings.database_url)
        except ShortlistError as error:  # of ours: it says why in a sentence
            fail(str(error))
        return exit_codes.DONE

    run(worked, settings)
