"""What every command does: reads its settings, runs, and says in a sentence why it cannot.

What takes long to import is imported when it is called for.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from shortlist.cli.loading import load
from shortlist.runtime import exit_codes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from typing import NoReturn

    from shortlist.settings import CommonSettings


def fail(sentence: str, code: int = exit_codes.FAILED) -> NoReturn:
    """Print in one sentence what went wrong, and exit."""
    sys.stderr.write(f"shortlist: {sentence}\n")
    raise SystemExit(code)


def read_settings(
    command: str, needed: Collection[tuple[str, ...]] | None = None, **flags: Any
) -> Any:
    """Read a command's settings from the environment, overridden by the flags that were given.

    ``needed``: servers without which it does not start, if not those of
    `shortlist.settings.SERVERS`. Exits when a setting is bad, or one of these missing.
    """
    report, classes = map(import_module, ("shortlist.settings.report", "shortlist.settings"))
    servers = classes.SERVERS.get(command, ()) if needed is None else needed
    try:
        return report.load(given(**flags), servers, command)
    except report.BadSettingsError as error:
        fail(str(error), exit_codes.USAGE)


def given(**flags: Any) -> dict[str, Any]:
    """Return those of the flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}


def serve(process: str, **flags: Any) -> NoReturn:
    """Run one process until it is told to stop, and exit."""
    load(process)
    run(import_module(f"shortlist.{process}.main").run, read_settings(process, **flags))


def run(
    work: Callable[..., Awaitable[int]], settings: CommonSettings, **arguments: Any
) -> NoReturn:
    """Run a coroutine to its end, and exit with the code that it returns."""

    async def run_and_tidy_up() -> int:
        await wait_for_supervisor(settings)
        if refusal := await _refusal_of_redis(settings):
            sys.stderr.write(f"shortlist: REDIS_URL cannot be used: {refusal}.\n")
            return exit_codes.FAILED
        code = await work(settings, **arguments)
        await import_module("shortlist.runtime.tasks").end_all_others()
        return code

    raise SystemExit(import_module("uvloop").run(run_and_tidy_up()))


async def wait_for_supervisor(settings: CommonSettings) -> None:
    """Wait until a supervisor that started this process early lets it ask servers."""
    if settings.start_fd is not None:
        await import_module("shortlist.runtime.start_pipe").until_open(settings.start_fd)


async def _refusal_of_redis(settings: CommonSettings) -> str | None:
    """Return why the Redis that answers cannot serve; None too when none is used or answers."""
    url = getattr(settings, "redis_url", None)
    if not url:
        return None
    found: str | None = await import_module("shortlist.storage.redis.fitness").refusal(url)
    return found
