"""Where a ``shortlist`` command starts."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from shortlist.cli.command import serve
from shortlist.cli.loading import PROCESSES


def main() -> None:
    """Run what the arguments name; a process without flags needs no command line's library."""
    open_standard_files()
    match sys.argv[1:]:
        case [process] if process in PROCESSES:
            serve(process)
        case _:
            import_module("shortlist.cli.app").app()


def open_standard_files() -> None:
    """Open /dev/null where the parent process closed standard input, output or error.

    The next file or connection would get its number, and children would inherit that as theirs.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(number, True)  # noqa: FBT003 (its only parameter)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 (for the whole run)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 (as above)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 (as above)
