from __future__ import annotations

import os
import subprocess
import sys


def shortlist(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shortlist", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    done = shortlist("--help")
    assert done.returncode == 0
    for command in (
        "up", "ingest", "worker", "maintenance", "dashboard",
        "migrate", "settings", "requeue", "simulate",
    ):  # fmt: skip
        assert command in done.stdout
    code = "import sys, shortlist.cli; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"fastapi", "pydantic", "asyncpg", "sqlalchemy", "redis"} & set(modules)


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


def test_requeue_wants_ids_or_a_filter_and_not_both() -> None:
    assert shortlist("requeue").returncode == 2
    assert shortlist("requeue", "--all-failed", "some-id").returncode == 2
