"""``shortlist keys``: what machines that call ``/api`` show."""

from __future__ import annotations

import secrets
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.command import fail
from shortlist.cli.hiring.running import RefusedError, run_command
from shortlist.cli.options import takes
from shortlist.domain.access import (
    NAME_LIMIT_CHARACTERS,
    SCOPES,
    SECRET_BYTES,
    digest_of_key,
    key_of,
)
from shortlist.runtime import exit_codes

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Awaitable, Callable

    from shortlist.domain.access import KeptKey
    from shortlist.storage.postgres import Connection


keys = typer.Typer(no_args_is_help=True, help="Keys for machines that call /api.")

_Name = Annotated[str, typer.Argument(help="Whose it is, or what for; shown by list.")]
_Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope", help=f"What it may do: {', '.join(SCOPES)}. May be repeated; at least one."
    ),
]
_Days = Annotated[float | None, typer.Option(help="Days until it expires (default: it does not).")]


@keys.command("create")
@takes("database_url")
def create_key(*, name: _Name, scope: _Scopes = None, days: _Days = None, **flags: Any) -> None:
    """Make a key and print it: it is shown this once."""
    unknown = sorted(set(scope or ()) - set(SCOPES))
    if not scope or unknown:
        what = f"there is no scope {unknown[0]!r}" if unknown else "a key needs a --scope"
        fail(f"{what}; scopes are {', '.join(SCOPES)}.", exit_codes.USAGE)
    name = name.strip()
    if not 1 <= len(name) <= NAME_LIMIT_CHARACTERS or "\0" in name:
        fail(f"a name has 1 to {NAME_LIMIT_CHARACTERS} characters.", exit_codes.USAGE)
    if days is not None and not 0 < days <= _MOST_DAYS:
        fail(f"--days is more than 0, and at most {_MOST_DAYS}.", exit_codes.USAGE)
    key = key_of(secrets.token_bytes(SECRET_BYTES))

    async def create(connection: Connection) -> None:
        key_id, expires_at = await _queries().create(
            connection, name=name, digest=digest_of_key(key), scopes=scope, days=days
        )
        until = (
            "does not expire" if expires_at is None else f"expires {expires_at:%Y-%m-%d %H:%M} UTC"
        )
        typer.echo(key)
        typer.echo(f"Key {key_id} ({name}) {until}. It is not kept: note it now.", err=True)

    _run(create, flags)


@keys.command("list")
@takes("database_url")
def list_keys(**flags: Any) -> None:
    """List all keys, those that are not valid any more too."""

    async def show(connection: Connection) -> None:
        rows = [_HEADINGS, *map(_row, await _queries().listed(connection))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())

    _run(show, flags)


@keys.command("revoke")
@takes("database_url")
def revoke_key(
    *, key_id: Annotated[int, typer.Argument(metavar="ID", help="As list shows it.")], **flags: Any
) -> None:
    """Revoke a key: it is refused within seconds, everywhere."""

    async def revoke(connection: Connection) -> None:
        name = await _queries().revoke(connection, key_id)
        if name is None:
            raise RefusedError(f"there is no key {key_id}.")
        typer.echo(f"Revoked key {key_id} ({name}).")

    _run(revoke, flags)


_MOST_DAYS = 36_500
_HEADINGS = ("id", "name", "scopes", "state", "created", "expires", "last used")


def _row(key: KeptKey) -> tuple[str, ...]:
    """Return what ``keys list`` shows of a key."""
    state = "valid" if key.is_valid else "revoked" if key.revoked_at else "expired"
    times = (key.created_at, key.expires_at, key.last_used_at)
    return (str(key.id), key.name, ",".join(key.scopes), state, *map(_shown, times))


def _shown(time: dt.datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d %H:%M}Z"


def _queries() -> Any:
    return import_module("shortlist.storage.postgres.queries.hiring.api_keys")


def _run(work: Callable[[Connection], Awaitable[None]], flags: dict[str, Any]) -> None:
    """Do a command's work on a connection of its own, and exit."""
    once = import_module("shortlist.storage.once")
    run_command("keys", lambda url: once.with_connection(url, "keys", work), flags)
