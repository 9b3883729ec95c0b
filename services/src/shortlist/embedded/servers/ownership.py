"""Whose a data directory is, and who may write to it. Asked before anything in it is touched.

`shortlist up` changes the owner of nothing that was there before it: what one `sudo` would take
over, its owner could never use again. What others may write is not used either, as with sshd and
Postgres: they could put programs, passwords and whole databases of their own there.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

from shortlist.domain.errors import ShortlistError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY_UID = 65534
"""The user that Postgres runs as for a root that cannot make user namespaces."""

_OURS = ("lock", "children.lock", "env", "logs", "redis")
_OF_POSTGRES = ("postgres", "postgres/data", "postgres/password")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class DataDirectoryError(ShortlistError, RuntimeError):
    """The data directory cannot be used; the message says what to do about it."""


def refuse_what_is_not_ours(root: Path) -> None:
    """Raise when a data directory, or what is in it, is another user's."""
    me = os.geteuid()
    for path in _there(root, ("", *_OURS, *_OF_POSTGRES)):
        owners = {me, NOBODY_UID} if me == 0 and _is_of_postgres(path, root) else {me}
        if (found := path.lstat().st_uid) not in owners:
            raise DataDirectoryError(
                f"{path} belongs to {user_name(found)}; run as {user_name(found)}, or use another "
                "--data."
            )


def refuse_what_others_may_write(root: Path) -> None:
    """Raise when other users may write to a data directory or to what is in it."""
    for path in _there(root, ("", *_OURS, *_OF_POSTGRES)):
        if (mode := stat.S_IMODE(path.stat().st_mode)) & _OTHERS_MAY_WRITE:
            raise DataDirectoryError(
                f"{path} may be written by others (mode {mode:04o}), who could change what runs "
                f"here. Forbid it with: chmod go-w {path}; or use a new directory with --data."
            )


def user_name(number: int) -> str:
    """Return a user's name; the number where it has none, as in many containers."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _there(root: Path, names: tuple[str, ...]) -> Iterator[Path]:
    return (root / name for name in names if os.path.lexists(root / name))


def _is_of_postgres(path: Path, root: Path) -> bool:
    return path.is_relative_to(root / "postgres")
