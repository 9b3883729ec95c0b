"""Directories of the servers' sockets: private, short of path, gone at the end."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from shortlist.embedded.servers.ownership import user_name
from shortlist.embedded.servers.programs import ServerError

_SOCKET_PATH_LIMIT = 90  # sockaddr_un holds 107 bytes; ".s.PGSQL.5432.lock" wants some of them


def short(directory: Path, owner: int) -> Path:
    """Choose a directory for its owner's sockets: that one, or one of a short and plain path."""
    if len(os.fsencode(directory)) <= _SOCKET_PATH_LIMIT and "," not in str(directory):
        return directory
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))  # noqa: S108 (made private below)
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
    return runtime / f"shortlist-{owner}-{digest}"


def let_through(directory: Path) -> None:
    """Let others pass through a directory of ours; they still cannot look into it."""
    if directory.stat().st_uid == os.geteuid():
        directory.chmod(directory.stat().st_mode | 0o111)


def make_private(directory: Path, owner: int | None = None) -> None:
    """Make a directory that only its owner can enter, or refuse one that is another user's."""
    owner = os.geteuid() if owner is None else owner
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = directory.stat().st_uid
    if found != owner and found == os.geteuid():  # root's own, for the user that Postgres runs as
        os.chown(directory, owner, owner)
    elif found != owner:
        raise ServerError(
            f"{directory} belongs to {user_name(found)}; run as {user_name(found)}, or use another "
            "--data."
        )


def remove(directory: Path, sockets: str) -> None:
    """Remove a directory of sockets; not when anything else is in it."""
    for path in directory.glob(sockets):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        directory.rmdir()
