from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

from shortlist.storage import postgres
from shortlist.storage.postgres.roles import Login
from shortlist.version import __version__
from testkit.databases.urls import as_user
from testkit.processes.commands import shortlist

if TYPE_CHECKING:
    from pathlib import Path


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    done = shortlist("--help")
    assert done.returncode == 0
    for command in (
        "up", "ingest", "worker", "maintenance", "dashboard",
        "migrate", "settings", "requeue", "simulate", "keys", "audit", "seed",
    ):  # fmt: skip
        assert command in done.stdout
    code = "import sys, shortlist.cli.app; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"fastapi", "pydantic", "asyncpg", "sqlalchemy", "redis"} & set(modules)


def test_the_version_is_printed() -> None:
    done = shortlist("--version")
    assert (done.returncode, done.stdout) == (0, f"shortlist {__version__}\n")


def test_a_bad_setting_is_one_sentence_and_exit_code_2() -> None:
    done = shortlist("ingest", SHORTLIST_PORT="eighty")
    assert done.returncode == 2
    assert done.stderr.startswith("shortlist: SHORTLIST_PORT: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_bad_flag_is_named_as_a_flag() -> None:
    done = shortlist("worker", "--concurrency", "0")
    assert done.returncode == 2
    assert "--concurrency: " in done.stderr


def test_settings_prints_values_with_their_source() -> None:
    done = shortlist("settings", "--port", "9", SHORTLIST_CONCURRENCY="3")
    rows = {row.split()[0]: row.split()[1:] for row in done.stdout.splitlines()}
    assert rows["SHORTLIST_PORT"] == ["9", "flag"]
    assert rows["SHORTLIST_CONCURRENCY"] == ["3", "environment"]


def test_settings_of_a_process_are_those_that_it_reads() -> None:
    done = shortlist("settings", "dashboard", SHORTLIST_SCORER="claude", ANTHROPIC_API_KEY="")
    assert done.returncode == 0
    shown = {row.split()[0] for row in done.stdout.splitlines()}
    assert {"SHORTLIST_PORT", "READER_DATABASE_URL"} <= shown
    assert not {"SHORTLIST_SCORER", "SHORTLIST_BODY_LIMIT_BYTES"} & shown


def test_migrating_without_a_database_says_so() -> None:
    done = shortlist("migrate", "--database-url", "postgresql://127.0.0.1:1/nowhere")
    assert done.returncode == 1
    assert "DATABASE_URL cannot be migrated" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrating_a_database_that_is_not_there_says_so(database_url: str) -> None:
    done = shortlist("migrate", DATABASE_URL=database_url.replace("test_", "absent_"))
    assert done.returncode == 1
    assert 'database "absent_' in done.stderr
    assert "Traceback" not in done.stderr


def test_migrating_twice_does_nothing_the_second_time(database_url: str) -> None:
    done = shortlist("migrate", DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Up to date at ")


def test_an_admin_makes_the_owner_that_migrates(database_url: str) -> None:
    owner = Login(f"owner of {database_url.rpartition('/')[2].partition('?')[0]}", "its own")
    urls = {"ADMIN_DATABASE_URL": database_url, "OWNER_DATABASE_URL": as_user(database_url, owner)}
    try:
        done = shortlist("migrate", **urls)
        assert done.returncode == 0, done.stderr
        assert shortlist("migrate", OWNER_DATABASE_URL=urls["OWNER_DATABASE_URL"]).returncode == 0
    finally:
        asyncio.run(_give_back(database_url, owner))


async def _give_back(database_url: str, owner: Login) -> None:
    admin = await postgres.connect(database_url, application_name="test")
    await admin.execute(f'REASSIGN OWNED BY "{owner.user}" TO CURRENT_USER')
    await admin.execute(f'DROP OWNED BY "{owner.user}"; DROP ROLE "{owner.user}"')
    await admin.close()


def test_requeue_wants_ids_or_a_filter_and_not_both() -> None:
    assert shortlist("requeue").returncode == 2
    assert shortlist("requeue", "--all-failed", "some-id").returncode == 2


def test_a_directory_of_no_up_is_refused_before_a_command_runs(tmp_path: Path) -> None:
    for made in ("", "DATABASE_URL=postgresql://127.0.0.1:1/x\n"):
        if made:
            (tmp_path / "env").write_text(made, encoding="utf-8")
        done = shortlist("--data", str(tmp_path), "requeue", "--all-failed")
        assert done.returncode == 2
        assert "env" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_directory_says_where_the_servers_are_whatever_the_shell_says(tmp_path: Path) -> None:
    urls = "DATABASE_URL=postgresql://127.0.0.1:1/by-directory\nREDIS_URL=redis://127.0.0.1:1\n"
    (tmp_path / "env").write_text(urls, encoding="utf-8")
    elsewhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/by-shell"}
    done = shortlist("--data", str(tmp_path), "settings", **elsewhere)
    assert "by-directory" in done.stdout
    assert "by-shell" not in done.stdout


def test_up_has_its_own_flag_for_the_directory(tmp_path: Path) -> None:
    done = shortlist("--data", str(tmp_path), "up")
    assert (done.returncode, "up --data DIR" in done.stderr) == (2, True)


def test_requeue_has_no_use_for_a_redis() -> None:
    assert shortlist("requeue", "--all-failed", "--redis-url", "redis://h").returncode == 2
