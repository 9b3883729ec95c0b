"""What a command's exit code says; the same for every command and process."""

from __future__ import annotations

DONE = 0
FAILED = 1
"""A sentence on standard error, or the last line of the log, says why. Or a process was told twice
to stop, and did not finish what it held."""

USAGE = 2
"""A bad flag or setting: trying again is no use."""

STOPPED = 130
"""Stopped by Ctrl-C before it was done: 128 + SIGINT, as shells have it."""
