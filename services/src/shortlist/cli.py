"""The command line: one command for each process, and a few for people.

Nothing heavy is imported before a command needs it, so that ``--help`` answers at once. Every
setting comes from the environment (``shortlist settings``); a flag overrides it. Exit codes: 0
done, 1 failed (a sentence on stderr says why), 2 a bad flag or setting, 130 stopped before it was
done.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shortlist import start
from shortlist.domain.errors import message_of
from shortlist.version import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from typing import NoReturn

    from shortlist.settings import CommonSettings

EXIT_FAILED = 1
EXIT_USAGE = 2
_MIGRATE_AGAIN_SECONDS = 0.05

app = typer.Typer(
    name="shortlist",
    epilog="Settings come from the environment; see: shortlist settings",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables, secrets among them
)

_SERVERS = "Servers"
DatabaseUrl = Annotated[
    str | None,
    typer.Option(help="Postgres to use (env: DATABASE_URL).", rich_help_panel=_SERVERS),
]
RedisUrl = Annotated[
    str | None,
    typer.Option(help="Redis or Valkey to use (env: REDIS_URL).", rich_help_panel=_SERVERS),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
Pipeline = Annotated[str | None, typer.Option(help="The pipeline to serve.")]


def _print_version(is_asked: bool) -> None:  # noqa: FBT001 (typer's callback)
    if is_asked:
        typer.echo(f"shortlist {__version__}")
        raise typer.Exit


@app.callback()
def before(
    context: typer.Context,
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="The data directory of a shortlist up, to use the servers of that one."),
    ] = None,
    version: Annotated[  # noqa: ARG001 (its callback ends the command)
        bool, typer.Option("--version", help="Print it.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Accepts applications in milliseconds, scores them behind a line, ranks them."""
    if data is None:
        return
    if context.invoked_subcommand == "up":
        fail("up has --data after its name: shortlist up --data DIR", EXIT_USAGE)
    datadir = import_module("shortlist.embedded.supervision.data_directory")
    try:
        servers = datadir.read_environment(data)
    except datadir.DataDirectoryError as error:
        fail(str(error), EXIT_USAGE)
    if datadir.has_postgres(data):
        import_module("shortlist.embedded.servers.programs").forget_other_postgres()
    os.environ.update(servers)


@app.command(rich_help_panel="One machine")
def up(
    *,
    data: Annotated[
        str | None, typer.Option(help="Directory that keeps everything (default: .shortlist).")
    ] = None,
    port: Port = None,
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
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    log_level: LogLevel = None,
) -> None:
    """Run all of it on this machine: Postgres, Redis, and every process. Ctrl-C drains."""
    if data is not None and not data.strip():  # an unset "$DIR" would fill this directory
        fail("--data is empty; name a directory, or leave it out for .shortlist.", EXIT_USAGE)
    settings = _settings(
        "up",
        port=port,
        host=host,
        database_url=database_url,
        redis_url=redis_url,
        log_level=log_level,
    )
    import_module("shortlist.embedded.supervision.first_process").stand_aside()
    run = import_module("shortlist.embedded.up").run
    directory = None if data is None else Path(data)
    _run(run, settings, data=directory, workers=workers, files=file or [], demo=demo)


@app.command(hidden=True)
def demo(*, url: Annotated[str, typer.Option(help="Where ingest listens.")]) -> None:
    """Send a gentle load; part of up --demo."""
    raise typer.Exit(asyncio.run(import_module("shortlist.embedded.demo").run(url)))


@app.command(rich_help_panel="Processes")
def ingest(
    *,
    host: Host = None,
    port: Port = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    dashboard_url: Annotated[
        str | None, typer.Option(help="Where pages are passed through to.")
    ] = None,
    log_level: LogLevel = None,
) -> None:
    """Accept applications over HTTP."""
    _serve(
        "ingest",
        host=host,
        port=port,
        database_url=database_url,
        redis_url=redis_url,
        dashboard_url=dashboard_url,
        log_level=log_level,
    )


@app.command(rich_help_panel="Processes")
def worker(  # noqa: PLR0913 (each flag is an argument)
    *,
    pipeline: Pipeline = None,
    concurrency: Annotated[int | None, typer.Option(help="Applications at once.")] = None,
    connection_mode: Annotated[str | None, typer.Option(help="perJob or perWrite.")] = None,
    scorer: Annotated[str | None, typer.Option(help="simulated or claude.")] = None,
    service_seconds: Annotated[
        float | None, typer.Option(help="simulated: mean time of a score.")
    ] = None,
    host: Host = None,
    port: Port = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    log_level: LogLevel = None,
) -> None:
    """Score what waits in a pipeline's line."""
    _serve(
        "worker",
        pipeline=pipeline,
        concurrency=concurrency,
        connection_mode=connection_mode,
        scorer=scorer,
        service_seconds=service_seconds,
        host=host,
        port=port,
        database_url=database_url,
        redis_url=redis_url,
        log_level=log_level,
    )


@app.command(rich_help_panel="Processes")
def maintenance(
    *,
    host: Host = None,
    port: Port = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    log_level: LogLevel = None,
) -> None:
    """Find what got lost on the way, rescue, retry, clean up. One replica leads."""
    _serve(
        "maintenance",
        host=host,
        port=port,
        database_url=database_url,
        redis_url=redis_url,
        log_level=log_level,
    )


@app.command(rich_help_panel="Processes")
def dashboard(
    *,
    host: Host = None,
    port: Port = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    log_level: LogLevel = None,
) -> None:
    """Serve the pages that people look at."""
    _serve(
        "dashboard",
        host=host,
        port=port,
        database_url=database_url,
        redis_url=redis_url,
        log_level=log_level,
    )


@app.command(rich_help_panel="Tools")
def migrate(
    *,
    database_url: DatabaseUrl = None,
    revision: Annotated[str, typer.Option(help="The revision to upgrade to.")] = "head",
    wait_seconds: Annotated[float, typer.Option(help="How long to wait for Postgres.")] = 0.0,
) -> None:
    """Bring the database's schema up to date."""
    settings = _settings("migrate", database_url=database_url)
    migrations = import_module("shortlist.storage.postgres.migrate")
    is_outage = import_module("shortlist.storage.faults").is_outage
    cannot = f"Postgres at {settings.owner_variable} cannot be migrated"
    deadline = time.monotonic() + wait_seconds
    pause_seconds = 0.0

    async def migrate_after_a_pause() -> tuple[str, str]:
        await asyncio.sleep(pause_seconds)
        told: tuple[str, str] = await migrations.migrate_as_told(settings, revision)
        return told

    while True:
        try:
            before, after = asyncio.run(migrate_after_a_pause())
            break
        except migrations.UnfitDatabaseError as error:
            fail(f"{cannot}: {error}.")
        except Exception as error:
            if not is_outage(error):
                raise
            if time.monotonic() > deadline:
                fail(f"{cannot}: {message_of(error)}")
        pause_seconds = _MIGRATE_AGAIN_SECONDS
    typer.echo(f"{before or 'empty'} -> {after}" if before != after else f"Up to date at {after}.")


@app.command(rich_help_panel="Tools")
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
    host: Host = None,
    port: Port = None,
    pipeline: Pipeline = None,
    database_url: DatabaseUrl = None,
    redis_url: RedisUrl = None,
    log_level: LogLevel = None,
) -> None:
    """Print a process's settings, their values (secrets hidden), and where they came from."""
    report = import_module("shortlist.settings.report")
    if output == "markdown":
        typer.echo(report.markdown(), nl=False)
        return
    flags = _given(
        host=host,
        port=port,
        pipeline=pipeline,
        database_url=database_url,
        redis_url=redis_url,
        log_level=log_level,
    )
    show = report.text if output == "text" else report.as_json
    typer.echo(show(_settings(process, (), **flags), frozenset(flags)))
    for warning in report.warnings():
        typer.echo(warning, err=True)


@app.command(rich_help_panel="Tools")
def requeue(
    *,
    ids: Annotated[list[str] | None, typer.Argument(help="Failed applications, by id.")] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="All that failed.")] = False,
    pipeline: Annotated[str | None, typer.Option(help="Only those of this pipeline.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only those whose reason contains this.")
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Give failed applications another chance: by id, by filter, or all."""
    if bool(ids) == bool(all_failed or pipeline or reason):
        fail("name ids, or choose with --all-failed, --pipeline or --reason.", EXIT_USAGE)
    settings = _settings("requeue", database_url=database_url)
    run = import_module("shortlist.maintenance.requeue").run
    _run(run, settings, ids=ids or [], pipeline=pipeline, reason=reason)


@app.command(rich_help_panel="Tools")
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
    run = import_module("shortlist.simulate").run
    raise typer.Exit(asyncio.run(run(url=url, clients=clients, seconds=seconds, rounds=rounds)))


def main() -> None:
    """Run the command that the arguments name."""
    app()


def fail(sentence: str, code: int = EXIT_FAILED) -> NoReturn:
    """Say in one sentence what went wrong, and exit."""
    typer.echo(f"shortlist: {sentence}", err=True)
    raise typer.Exit(code)


def _settings(command: str, needed: Collection[tuple[str, ...]] | None = None, **flags: Any) -> Any:
    """A command's settings from the environment, overridden by the flags that were given."""
    report, classes = map(import_module, ("shortlist.settings.report", "shortlist.settings"))
    servers = classes.SERVERS.get(command, ()) if needed is None else needed
    try:
        return report.load(_given(**flags), servers, command)
    except report.BadSettingsError as error:
        fail(str(error), EXIT_USAGE)


def _given(**flags: Any) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


def _serve(process: str, **flags: Any) -> NoReturn:
    """Run one process until it is told to stop."""
    settings = _settings(process, **flags)
    start.load(process)
    _run(import_module(f"shortlist.{process}.main").run, settings)


def _run(
    run: Callable[..., Awaitable[int]], settings: CommonSettings, **arguments: Any
) -> NoReturn:
    raise typer.Exit(start.run(run, settings, **arguments))


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[func-returns-value]
