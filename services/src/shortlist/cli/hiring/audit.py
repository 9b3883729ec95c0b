"""``shortlist audit``: whether the audit of an opening is whole, and a copy of it that shows so."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shortlist.cli.command import fail
from shortlist.cli.hiring.running import RefusedError, run_command
from shortlist.cli.options import takes
from shortlist.domain.errors import ShortlistError, message_of
from shortlist.runtime import exit_codes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.urls import DatabaseUrl

audit = typer.Typer(no_args_is_help=True, help="The audit of openings: whole or not, and exported.")

_Openings = Annotated[int | None, typer.Argument(metavar="OPENING", help="Its id; without: all.")]
_Opening = Annotated[int, typer.Argument(metavar="OPENING", help="Its id.")]
_File = Annotated[Path | None, typer.Option(help="An exported audit; no server is asked then.")]
_Head = Annotated[
    str | None,
    typer.Option(
        help="A digest that was printed before: it must still be in the audit, so that no event"
        " up to it can have been cut off."
    ),
]


@audit.command("verify")
@takes("database_url")
def verify(
    *, opening: _Openings = None, file: _File = None, head: _Head = None, **flags: Any
) -> None:
    """Check every event of an audit against the one before, and what they add up to."""
    digest = None if head is None else _digest(head)
    if file is not None:
        if opening is not None:
            fail("name an opening or a --file, not both.", exit_codes.USAGE)
        _verify_file(file, digest)
        return
    if digest is not None and opening is None:
        fail("--head is of one opening: name it, or a --file.", exit_codes.USAGE)

    async def work(audits: Any) -> None:
        ids = audits.openings() if opening is None else _only(opening)
        broken = 0
        async for opening_id in ids:
            found = await audits.verify(opening_id, digest)
            _say(opening_id, found.events, found.head, found.problem)
            broken += not found.intact
        if broken:
            raise RefusedError(f"{broken} of the audits {'is' if broken == 1 else 'are'} broken.")

    _run(work, flags)


@audit.command("export")
@takes("database_url")
def export(*, opening: _Opening, **flags: Any) -> None:
    """Print an opening's audit, a line of JSON for each event: `verify --file` checks it."""

    async def work(audits: Any) -> None:
        async for line in audits.export(opening):
            typer.echo(line)

    _run(work, flags)


async def _only(opening_id: int) -> Any:
    yield opening_id


def _digest(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        fail("--head is a digest in hex, as verify prints it.", exit_codes.USAGE)


def _verify_file(file: Path, head: bytes | None) -> None:
    verify_export = import_module("shortlist.hiring.exported").verify_export
    try:
        with file.open(encoding="utf-8") as lines:
            found = verify_export(lines, head)
    except (OSError, UnicodeDecodeError, ShortlistError) as error:
        fail(f"{file}: {message_of(error)}")
    _say(found.opening_id, found.events, found.head.hex())


def _say(opening_id: int, events: int, head: str, problem: str | None = None) -> None:
    """Print how an audit is; with its head a later one can be compared."""
    state = "intact" if problem is None else f"broken: {problem}"
    typer.echo(f"opening {opening_id}: {events} events, {state}, head {head}")


def _run(work: Callable[[Any], Awaitable[None]], flags: dict[str, Any]) -> None:
    auditing, once = map(import_module, ("shortlist.hiring.auditing", "shortlist.storage.once"))

    async def on(url: DatabaseUrl) -> None:
        audits = auditing.Audits(url)
        try:
            await once.unless_unusable(url, work(audits))
        finally:
            await audits.close()

    run_command("audit", on, flags)
