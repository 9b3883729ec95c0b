"""The commands that do one thing and end."""

from __future__ import annotations

import asyncio
import sys
import time
from importlib import import_module
from typing import Annotated, Any, Literal

import typer

from shortlist.cli.command import fail, given, read_settings, run, wait_for_supervisor
from shortlist.cli.options import SERVERS, takes
from shortlist.domain.errors import message_of
from shortlist.runtime import exit_codes

_MIGRATE_AGAIN_SECONDS = 0.05


@takes("database_url")
def migrate(
    *,
    revision: Annotated[str, typer.Option(help="The revision to upgrade to.")] = "head",
    wait_seconds: Annotated[float, typer.Option(help="How long to wait for Postgres.")] = 0.0,
    **flags: Any,
) -> None:
    """Bring the database's schema up to date."""
    settings = read_settings("migrate", **flags)
    before, after = asyncio.run(_migrated(settings, revision, wait_seconds))
    typer.echo(f"{before or 'empty'} -> {after}" if before != after else f"Up to date at {after}.")


async def _migrated(settings: Any, revision: str, wait_seconds: float) -> tuple[str, str]:
    """Migrate; return the revisions before and after. While Postgres is away, try again in time."""
    migrations = import_module("shortlist.storage.postgres.migrate")
    is_outage = import_module("shortlist.storage.faults").is_outage
    cannot = f"Postgres at {settings.owner_variable} cannot be migrated"
    await wait_for_supervisor(settings)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            told: tuple[str, str] = await migrations.migrate_with_roles(settings, revision)
        except migrations.UnfitDatabaseError as error:
            fail(f"{cannot}: {error}.")
        except Exception as error:
            if not is_outage(error):
                raise
            if time.monotonic() > deadline:
                fail(f"{cannot}: {message_of(error)}")
            await asyncio.sleep(_MIGRATE_AGAIN_SECONDS)
        else:
            return told


@takes("host", "port", "pipeline", *SERVERS, "log_level")
def settings(
    *,
    process: Annotated[
        Literal["ingest", "worker", "maintenance", "dashboard", "migrate", "up"],
        typer.Argument(help="Whose settings; up reads all."),
    ] = "up",
    output: Annotated[
        Literal["text", "json", "markdown"],
        typer.Option("--format", help="For people, for programs, or for docs/settings.md."),
    ] = "text",
    **flags: Any,
) -> None:
    """Print a process's settings, their values (secrets hidden), and where they came from."""
    report = import_module("shortlist.settings.report")
    if output == "markdown":
        typer.echo(report.markdown(), nl=False)
        return
    show = report.text if output == "text" else report.as_json
    typer.echo(show(read_settings(process, (), **flags), frozenset(given(**flags))))
    for warning in report.warnings():
        typer.echo(warning, err=True)


@takes("database_url")
def requeue(
    *,
    ids: Annotated[list[str] | None, typer.Argument(help="Failed applications, by id.")] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="All that failed.")] = False,
    pipeline: Annotated[str | None, typer.Option(help="Only those of this pipeline.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only those whose reason contains this.")
    ] = None,
    **flags: Any,
) -> None:
    """Give failed applications another chance: by id, by filter, or all."""
    if bool(ids) == bool(all_failed or pipeline or reason):
        fail("name ids, or choose with --all-failed, --pipeline or --reason.", exit_codes.USAGE)
    work = import_module("shortlist.maintenance.requeue").run
    settings = read_settings("requeue", **flags)
    run(work, settings, ids=ids or [], pipeline=pipeline, reason=reason)


def simulate(
    *,
    url: Annotated[str, typer.Option(help="Where ingest listens.")] = "http://127.0.0.1:8000",
    clients: Annotated[int, typer.Option(min=1, help="Clients side by side.")] = 10,
    seconds: Annotated[
        float | None, typer.Option(help="Stop after this time (default: Ctrl-C).")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many rounds of each client.")
    ] = None,
) -> None:
    """Play clients of the job server: three jobs each, polled each second, over and over."""
    work = import_module("shortlist.simulate").run
    sys.exit(asyncio.run(work(url=url, clients=clients, seconds=seconds, rounds=rounds)))
