"""The commands that run until they are told to stop."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from shortlist.cli.command import fail, read_settings, run, serve
from shortlist.cli.options import PROCESS, SERVERS, takes
from shortlist.runtime import exit_codes


@takes("port", *SERVERS, "log_level")
def up(
    *,
    data: Annotated[
        str | None, typer.Option(help="Directory that keeps everything (default: .shortlist).")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Keep so many worker processes of each pipeline (default: as the load needs).",
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", "-f", help="ScoringPipeline YAML, as for Kubernetes; may be repeated."
        ),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Fill it with a gentle load.")] = False,
    **flags: Any,
) -> None:
    """Run all of it on this machine: Postgres, Redis, and every process. Ctrl-C drains."""
    if data is not None and not data.strip():  # an unset "$DIR" would fill this directory
        fail("--data is empty; name a directory, or leave it out for .shortlist.", exit_codes.USAGE)
    settings = read_settings("up", host=host, **flags)
    import_module("shortlist.embedded.supervision.first_process").stand_aside()
    directory = None if data is None else Path(data)
    work = import_module("shortlist.embedded.up").run
    run(work, settings, data=directory, workers=workers, files=file or [], demo=demo)


def demo(*, url: Annotated[str, typer.Option(help="Where ingest listens.")]) -> None:
    """Send a gentle load; part of up --demo."""
    database_url = read_settings("demo").database_url
    raise SystemExit(asyncio.run(import_module("shortlist.embedded.demo").run(url, database_url)))


@takes(*PROCESS)
def ingest(
    *,
    dashboard_url: Annotated[
        str | None, typer.Option(help="Where pages are passed through to.")
    ] = None,
    **flags: Any,
) -> None:
    """Accept applications over HTTP."""
    serve("ingest", dashboard_url=dashboard_url, **flags)


@takes("pipeline", *PROCESS)
def worker(
    *,
    concurrency: Annotated[int | None, typer.Option(help="Applications at once.")] = None,
    connection_mode: Annotated[str | None, typer.Option(help="perJob or perWrite.")] = None,
    scorer: Annotated[str | None, typer.Option(help="simulated or claude.")] = None,
    service_seconds: Annotated[
        float | None, typer.Option(help="simulated: mean time of a score.")
    ] = None,
    **flags: Any,
) -> None:
    """Score what waits in a pipeline's line."""
    serve(
        "worker",
        concurrency=concurrency,
        connection_mode=connection_mode,
        scorer=scorer,
        service_seconds=service_seconds,
        **flags,
    )


@takes(*PROCESS)
def maintenance(**flags: Any) -> None:
    """Find what got lost on the way, rescue, retry, clean up. One replica leads."""
    serve("maintenance", **flags)


@takes(*PROCESS)
def dashboard(**flags: Any) -> None:
    """Serve the pages that people look at."""
    serve("dashboard", **flags)
