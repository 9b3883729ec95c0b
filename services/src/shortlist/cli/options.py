"""The options that several commands share, each declared once."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

_SERVERS = "Servers"

_OPTIONS: dict[str, Any] = {
    "host": Annotated[str | None, typer.Option(help="Address to listen on.")],
    "port": Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")],
    "pipeline": Annotated[str | None, typer.Option(help="The pipeline to serve.")],
    "database_url": Annotated[
        str | None,
        typer.Option(help="Postgres to use (env: DATABASE_URL).", rich_help_panel=_SERVERS),
    ],
    "redis_url": Annotated[
        str | None,
        typer.Option(help="Redis or Valkey to use (env: REDIS_URL).", rich_help_panel=_SERVERS),
    ],
    "log_level": Annotated[str | None, typer.Option(help="debug, info, warning or error.")],
}

SERVERS = ("database_url", "redis_url")
PROCESS = ("host", "port", *SERVERS, "log_level")
"""What every process has."""

Command = TypeVar("Command", bound="Callable[..., None]")


def takes(*names: str) -> Callable[[Command], Command]:
    """Give a command these options in place of its ``**flags``; each is None when not given."""

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shared = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_OPTIONS[name]
            )
            for name in names
        ]
        # Typer asks for both.
        vars(command)["__signature__"] = signature.replace(parameters=[*own, *shared])
        command.__annotations__.update({name: _OPTIONS[name] for name in names})
        return command

    return decorate
