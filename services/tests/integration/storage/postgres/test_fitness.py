"""What ``migrate`` says of a database that cannot be ours: one sentence, and nothing changed."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg
import pytest
from typer.testing import CliRunner

from shortlist.cli.app import app
from shortlist.storage.postgres import migrate, schema
from testkit.databases.urls import as_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shortlist.embedded.servers.postgres import EmbeddedPostgres

from shortlist.storage.postgres.roles import Login

ALEMBIC = "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES"
GUEST = Login("guest", "it's a/pass#word?")

READ_ONLY = "ALTER DATABASE unfit SET default_transaction_read_only = on"

UNFIT = {
    "SQL_ASCII": ("ENCODING 'SQL_ASCII' LOCALE 'C'", "", False, "encoding SQL_ASCII"),
    "LATIN1": ("ENCODING 'LATIN1' LOCALE 'C'", "", False, "encoding LATIN1"),
    "another project's": ("", "CREATE TABLE users (id int)", False, "(users, for one)"),
    "another project's view": ("", "CREATE VIEW news AS SELECT 1 AS a", False, "(news, for one)"),
    "another's Alembic": ("", f"CREATE TABLE a (); {ALEMBIC} ('9f3c2b1a7d5e')", False, "(a, for"),
    "another's, numbered": ("", f"CREATE TABLE a (); {ALEMBIC} ('0001')", False, "(a, for one)"),
    "another's, newer": ("", f"CREATE TABLE a (); {ALEMBIC} ('0999')", False, "(a, for one)"),
    "an emptied one": ("", f"{ALEMBIC} ('9f3c2b1a7d5e')", False, "(alembic_version, for one)"),
    "no rights": ("", "REVOKE CREATE ON SCHEMA public FROM PUBLIC", True, "GRANT CREATE"),
    "no schema": ("", "REVOKE ALL ON SCHEMA public FROM PUBLIC", True, "no schema"),
    "no such schema": ("", "DROP SCHEMA public", False, "no schema"),
    "read-only": ("", READ_ONLY, False, "read-only transaction"),
}


async def ask(url: str, *statements: str) -> list[str]:
    """Run some statements, and tell of all relations that the database has."""
    connection = await asyncpg.connect(url)
    try:
        for statement in filter(None, statements):
            await connection.execute(statement)
        rows = await connection.fetch("SELECT oid::regclass::text AS name FROM pg_class ORDER BY 1")
        return [row["name"] for row in rows]
    finally:
        await connection.close()


@contextmanager
def a_database(server: EmbeddedPostgres, options: str) -> Iterator[str]:
    admin = server.url.replace("/shortlist?", "/postgres?")
    asyncio.run(ask(admin, f"CREATE DATABASE unfit TEMPLATE template0 {options}"))
    try:
        yield server.url.replace("/shortlist?", "/unfit?")
    finally:
        asyncio.run(ask(admin, "DROP DATABASE unfit WITH (FORCE)"))


def refused(url: str) -> str:
    """What `shortlist migrate` says; it must be one sentence, and name no password."""
    done = CliRunner().invoke(app, ["migrate", "--database-url", url])
    assert done.exit_code == 1, done.output
    assert len(done.output.splitlines()) == 1, done.output
    assert done.output.startswith("shortlist: Postgres at DATABASE_URL cannot be migrated: ")
    return done.output


@pytest.mark.parametrize("case", UNFIT)
def test_a_database_that_cannot_be_ours_is_refused_in_a_sentence(
    postgres_server: EmbeddedPostgres, case: str
) -> None:
    options, made, as_guest, words = UNFIT[case]
    with a_database(postgres_server, options) as url:
        password = GUEST.password.replace("'", "''")
        guest = f"CREATE ROLE guest LOGIN PASSWORD '{password}'" if as_guest else ""
        before = asyncio.run(ask(url, made, guest))
        try:
            said = refused(as_user(url, GUEST) if as_guest else url)
        finally:
            if as_guest:
                asyncio.run(ask(url, "DROP ROLE guest"))
        assert words in said
        assert GUEST.password not in said
        assert asyncio.run(ask(url)) == before


def test_off_switch_without_a_look_first_another_project_s_database_is_changed(
    postgres_server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        """In place of the look."""

    monkeypatch.setattr(migrate, "refuse_unfit", nothing)
    options, made, _, _ = UNFIT["another project's"]
    with a_database(postgres_server, options) as url:
        before = asyncio.run(ask(url, made))
        with pytest.raises(AssertionError):
            refused(url)
        assert asyncio.run(ask(url)) != before


def test_what_an_extension_brought_is_no_other_project(postgres_server: EmbeddedPostgres) -> None:
    with a_database(postgres_server, "") as url:
        asyncio.run(ask(url, "CREATE EXTENSION pg_stat_statements"))
        done = CliRunner().invoke(app, ["migrate", "--database-url", url])
        assert done.exit_code == 0, done.output


def test_a_role_that_may_create_nothing_finds_a_current_schema_up_to_date(
    postgres_server: EmbeddedPostgres,
) -> None:
    with a_database(postgres_server, "") as url:
        assert CliRunner().invoke(app, ["migrate", "--database-url", url]).exit_code == 0
        role = ["CREATE ROLE guest LOGIN PASSWORD 'x'", "GRANT SELECT ON alembic_version TO guest"]
        asyncio.run(ask(url, *role))
        try:
            guest = as_user(url, Login("guest", "x"))
            done = CliRunner().invoke(app, ["migrate", "--database-url", guest])
        finally:
            asyncio.run(ask(url, "DROP OWNED BY guest", "DROP ROLE guest"))
        assert (done.exit_code, done.output) == (0, f"Up to date at {schema.NEEDED}.\n")


def test_a_revision_that_there_is_not_is_a_sentence(postgres_server: EmbeddedPostgres) -> None:
    with a_database(postgres_server, "") as url:
        arguments = ["migrate", "--database-url", url, "--revision", "nonsense"]
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "nonsense" in done.output
    assert len(done.output.splitlines()) == 1


def test_a_postgres_that_is_too_old_is_refused(postgres_server: EmbeddedPostgres) -> None:
    """A server says its version when it lets a client in; on the way it is made an older one."""
    with a_database(postgres_server, "") as url, older(postgres_server) as port:
        host, _, _ = url.partition("?")[2].partition("&")
        tcp = url.partition("?")[0] + f"?host=127.0.0.1&port={port}&sslmode=disable"
        assert host.startswith("host=")
        assert "it is Postgres 13; 14 or newer is needed" in refused(tcp)


@contextmanager
def older(server: EmbeddedPostgres) -> Iterator[int]:
    """A relay on the wire that makes Postgres 18 say that it is 13."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_relay, args=(listener, server), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _relay(listener: socket.socket, server: EmbeddedPostgres) -> None:
    with suppress(OSError):  # the test is over
        while True:
            client, _ = listener.accept()
            with client, socket.socket(socket.AF_UNIX) as upstream:
                upstream.connect(str(server.socket_directory / ".s.PGSQL.5432"))
                back = threading.Thread(target=_pump, args=(upstream, client))
                back.start()
                _pump(client, upstream)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # the other side has hung up
        while data := source.recv(65536):
            target.sendall(data.replace(b"server_version\x0018", b"server_version\x0013"))
        target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("found", ["", "9f3c2b1a7d5e", "head", "00010", "000"])
def test_another_project_s_revision_never_suffices(found: str) -> None:
    assert not schema.suffices(found)
