"""No part of a server's password is printed, whatever is wrong with its URL, by any command."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from shortlist.cli.app import app
from shortlist.cli.main import main
from shortlist.storage import postgres, redis
from shortlist.urls import BadUrlError, DatabaseUrl, RedisUrl
from shortlist_operator import main as operator
from testkit.databases.passwords import AWKWARD, fragments
from testkit.databases.urls import as_user
from testkit.processes.stack import Stack, status_of, without_guards
from testkit.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

from shortlist.storage.postgres.roles import Login

COMMANDS = {
    "up": ("up", "--data", "never-made"),
    "ingest": ("ingest",),
    "worker": ("worker",),
    "maintenance": ("maintenance",),
    "dashboard": ("dashboard",),
    "migrate": ("migrate",),
    "requeue": ("requeue", "--all-failed"),
    "settings": ("settings",),
}
PROCESSES = ("ingest", "worker", "maintenance", "dashboard")
PLACES: dict[str, tuple[str, type]] = {
    "DATABASE_URL": ("postgresql://app:{}@127.0.0.1:1/shortlist", DatabaseUrl),
    "REDIS_URL": ("redis://:{}@127.0.0.1:1/0", RedisUrl),
}
GOOD = {"DATABASE_URL": "postgresql://127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1"}


def refused(variable: str) -> dict[str, str]:
    """Passwords that are no part of a URL as they are, and the URLs that have them."""
    place, kind = PLACES[variable]
    found = {}
    for password in AWKWARD:
        try:
            kind(place.format(password))
        except BadUrlError:
            found[password] = place.format(password)
    assert len(found) >= 8, "the test would prove little"
    return found


def assert_a_sentence(said: str, variable: str, password: str) -> None:
    assert variable in said or f"--{variable.lower().replace('_', '-')}" in said, said
    assert len(said.splitlines()) == 1, said
    assert not [f for f in fragments(password) if f in said], said


@pytest.mark.parametrize("variable", PLACES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_url_that_is_none_is_a_sentence_without_it(
    command: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = f"--{variable.lower().replace('_', '-')}"
    for password, url in refused(variable).items():
        for name, value in GOOD.items():
            monkeypatch.setenv(name, value)
        ways = [([*COMMANDS[command]], url)]
        if variable == "DATABASE_URL" or command not in ("migrate", "requeue"):
            ways.append(([*COMMANDS[command], flag, url], GOOD[variable]))
        for arguments, in_environment in ways:
            monkeypatch.setenv(variable, in_environment)
            done = CliRunner().invoke(app, arguments)
            assert done.exit_code == 2, done.output
            assert_a_sentence(done.output, variable, password)


@pytest.mark.parametrize("variable", PLACES)
def test_so_it_is_for_processes_without_flags_and_for_the_operator(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    for password, url in refused(variable).items():
        monkeypatch.setenv(variable, url)
        for process in PROCESSES:
            monkeypatch.setattr(sys, "argv", ["shortlist", process])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == 2
            assert_a_sentence(capsys.readouterr().err, variable, password)
        assert operator.main() == 2
        assert_a_sentence(capsys.readouterr().err, variable, password)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("up", "settings")])
def test_no_command_guesses_where_a_server_is(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in GOOD:
        monkeypatch.setenv(name, "")
    done = CliRunner().invoke(app, COMMANDS[command])
    assert done.exit_code == 2
    assert "DATABASE_URL" in done.output
    assert "no server is guessed" in done.output


def test_nor_does_the_operator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in GOOD:
        monkeypatch.delenv(name, raising=False)
    assert operator.main() == 2
    assert "no server is guessed" in capsys.readouterr().err


async def test_any_password_lets_in_when_it_is_encoded(
    database_url: str, redis_url: str, db: postgres.Connection, line_redis: redis.Redis
) -> None:
    await db.execute("CREATE ROLE awkward LOGIN")
    try:
        for password in AWKWARD:
            escaped = password.replace("'", "''")
            await db.execute(f"ALTER ROLE awkward PASSWORD '{escaped}'")
            await line_redis.acl_setuser(
                "awkward", enabled=True, reset=True, passwords=[f"+{password}"],
                commands=["+ping"], categories=["+@connection"],
            )  # fmt: skip
            login = Login("awkward", password)
            connection = await postgres.connect(
                as_user(database_url, login), application_name="awkward"
            )
            await postgres.close_quickly(connection)
            user = f"unix://awkward:{quote(password, safe='')}@"
            client = redis.connect(redis_url.replace("unix://", user))
            assert await client.ping()
            await client.aclose()
    finally:
        await db.execute("DROP ROLE awkward")
        await line_redis.acl_deluser("awkward")


async def test_a_refused_password_is_in_no_log(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    """All processes, whose password has every odd character, and is wrong, as text for people."""
    password = max(AWKWARD, key=len)
    login = Login("nobody_here", password)
    quoted = quote(password, safe="")
    redis_user = redis_url.replace("unix://", f"unix://nobody_here:{quoted}@")
    async with Stack(
        tmp_path, as_user(database_url, login), redis_user, log_format="console", log_level="debug"
    ) as stack:
        services = [await stack.start(role, wait=False) for role in PROCESSES]  # type: ignore[arg-type]

        async def all_were_refused() -> bool:
            for service in services:
                await status_of(f"{service.url}/readyz", timeout_seconds=3)
            # All but the dashboard, which tells those who look, and not its log.
            return all("authentication failed" in service.log for service in services[:-1])

        await until(all_were_refused, what=f"all were refused: {[s.tail() for s in services]}")
        for service in services:
            assert not [f for f in fragments(password) if f in service.log], service.tail()
        for arguments in (COMMANDS["migrate"], COMMANDS["requeue"]):
            done = await asyncio.to_thread(
                run, *arguments, DATABASE_URL=as_user(database_url, login)
            )
            assert done.returncode == 1
            assert_a_sentence(done.stderr, "DATABASE_URL", password)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shortlist", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_off_switch_without_our_parser_a_command_tells_the_password() -> None:
    url, password = "postgresql://app:WholeSecret123#@127.0.0.1:1/db", "WholeSecret123#"
    assert_a_sentence(run("migrate", DATABASE_URL=url).stderr, "DATABASE_URL", password)
    done = run("migrate", DATABASE_URL=url, **without_guards("url_parser"))
    with pytest.raises(AssertionError):
        assert_a_sentence(done.stderr.partition("\n")[2].strip(), "DATABASE_URL", password)
    assert "WholeSecret123" in done.stderr
