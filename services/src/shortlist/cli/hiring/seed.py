"""``shortlist seed``: openings and applicants to begin with."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.hiring.running import run_command
from shortlist.cli.options import takes

if TYPE_CHECKING:
    from shortlist.urls import DatabaseUrl

_Large = Annotated[
    bool,
    typer.Option("--large", help="10 000 applicants and a year of history, in place of a few."),
]


@takes("database_url")
def seed(*, large: _Large = False, **flags: Any) -> None:
    """Make three openings and five applicants, where they are not there yet."""
    once = import_module("shortlist.storage.once")

    async def few(url: DatabaseUrl) -> None:
        work = import_module("shortlist.hiring.seed.seeding").seed_samples(url)
        made = await once.unless_unusable(url, work)
        typer.echo(f"Made {made} openings." if made else "The openings are there already.")

    async def many(url: DatabaseUrl) -> None:
        seed_large = import_module("shortlist.hiring.seed.large").seed_large
        made = await once.with_connection(url, "seed", seed_large)
        typer.echo(
            f"Made {made.openings} openings, {made.applicants} applicants, {made.events} events."
            if made
            else "The year is there already."
        )

    run_command("seed", many if large else few, flags)
