"""Every command, and what is asked before any of them."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from shortlist.cli import processes, tools
from shortlist.cli.command import fail
from shortlist.cli.hiring.audit import audit
from shortlist.cli.hiring.keys import keys
from shortlist.cli.hiring.seed import seed
from shortlist.runtime import exit_codes
from shortlist.version import __version__


def _print_version(is_asked: bool) -> None:  # noqa: FBT001 (typer's callback)
    if is_asked:
        typer.echo(f"shortlist {__version__}")
        raise typer.Exit


_Data = Annotated[
    Path | None,
    typer.Option(help="The data directory of a shortlist up, to use the servers of that one."),
]
_Version = Annotated[
    bool, typer.Option("--version", help="Print it.", callback=_print_version, is_eager=True)
]


def before(context: typer.Context, *, data: _Data = None, version: _Version = False) -> None:
    """Accept applications in milliseconds, score them behind a line, rank them."""
    del version  # its callback has ended the command
    if data is None:
        return
    if context.invoked_subcommand == "up":
        fail("up has --data after its name: shortlist up --data DIR", exit_codes.USAGE)
    datadir = import_module("shortlist.embedded.supervision.data_directory")
    try:
        servers = datadir.read_environment(data)
    except datadir.DataDirectoryError as error:
        fail(str(error), exit_codes.USAGE)
    if datadir.has_postgres(data):
        import_module("shortlist.embedded.servers.programs").forget_other_postgres()
    os.environ.update(servers)


app = typer.Typer(
    name="shortlist",
    epilog="Settings come from the environment; see: shortlist settings",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print local variables, secrets among them
    callback=before,
)
app.command(rich_help_panel="One machine")(processes.up)
app.command(hidden=True)(processes.demo)
for process in (processes.ingest, processes.worker, processes.maintenance, processes.dashboard):
    app.command(rich_help_panel="Processes")(process)
for tool in (tools.migrate, tools.settings, tools.requeue, tools.simulate):
    app.command(rich_help_panel="Tools")(tool)
app.command(rich_help_panel="Hiring")(seed)
app.add_typer(keys, name="keys", rich_help_panel="Hiring")
app.add_typer(audit, name="audit", rich_help_panel="Hiring")
