"""Runs a command as an ordinary user, or tied to its parent's life, or both.

    python -I -S tether.py [--in-namespace | --as-user ID] [--die-with PID SIGNAL] -- COMMAND...

Run as a script of its own, with the standard library only: it becomes the command (same process)
within a few milliseconds. ``--die-with``: the kernel sends SIGNAL to the command when its parent,
which must be PID, dies, however it dies, kill -9 included; it gets a process group of its own.
Postgres refuses to be root, so root's process becomes user 1000 of a new user namespace, in which
root's files are its own (``--in-namespace``), or, where namespaces are not permitted, another user
(``--as-user``).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_ORDINARY_ID = 1000

EXIT_NO_NAMESPACE = 125
"""The system does not permit a user namespace."""


def main(arguments: list[str]) -> None:
    """Do what the flags say, then become the command."""
    split = arguments.index("--")
    flags, command = arguments[:split], arguments[split + 1 :]
    if "--in-namespace" in flags:
        enter_namespace()
    if "--as-user" in flags:
        become_user(int(flags[flags.index("--as-user") + 1]))
    if "--die-with" in flags:  # at last: a change of user undoes this
        at = flags.index("--die-with")
        leave_group()
        die_with_parent(int(flags[at + 1]), int(flags[at + 2]))
    os.execvp(command[0], command)  # noqa: S606 (no shell is the point)


def enter_namespace() -> None:
    """Enter a user namespace in which we are user 1000; files stay root's outside."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _checked(libc.unshare(_CLONE_NEWUSER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"{_ORDINARY_ID} {group} 1")
        Path("/proc/self/uid_map").write_text(f"{_ORDINARY_ID} {user} 1")
    except OSError as error:
        sys.stderr.write(f"no user namespace: {error}\n")
        sys.exit(EXIT_NO_NAMESPACE)


def become_user(number: int) -> None:
    """Give up being root for good."""
    os.setgroups([])
    os.setgid(number)
    os.setuid(number)


def _checked(outcome: int) -> None:
    if outcome != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def leave_group() -> None:
    """Have a process group of one's own: a Ctrl-C is for the supervisor alone.

    Not a session: Linux shares the cores out among sessions first, and priorities would count only
    within each (sched(7), autogroup). A worker that starts must yield to ingest.
    """
    if os.getsid(0) != os.getpid():
        os.setpgid(0, 0)


def die_with_parent(parent: int, signal_number: int) -> None:
    """Ask the kernel to send us the signal when the parent dies; it may be dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
