"""``DATABASE_URL``: a Postgres, as libpq, asyncpg, SQLAlchemy, Prisma and providers write it.

Each parameter is known here, and one of four things: passed to the driver, met in another way,
without a meaning here (other clients' pools, time-outs that Shortlist has its own of), or refused
in a sentence. ``docs/servers.md`` has the table.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from shortlist.urls.parts import (
    UNKNOWN_PARAMETER,
    BadUrlError,
    ServerUrl,
    hosts_of,
    port_of,
    take_apart,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.urls.parts import Host, Parts

POOLER_CLIENTS = 100
"""How many clients PgBouncer lets in when it is not told otherwise (``max_client_conn``)."""

_WANTED = "postgresql:// or postgres://"
_DRIVERS = ("asyncpg", "psycopg", "psycopg2", "psycopg_async", "pg8000", "psycopg2cffi")
_SCHEMES = frozenset(
    scheme
    for name in ("postgresql", "postgres")
    for scheme in (name, *(f"{name}+{driver}" for driver in _DRIVERS))
)

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_WORDS = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_PASSED = (
    *_FILES,
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "krbsrvname",
    "gsslib",
    "passfile",
    "service",
)
_SESSIONS = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")

_WITHOUT_MEANING = frozenset(
    # libpq's, of which Shortlist has its own
    (
        "connect_timeout",
        "application_name",
        "fallback_application_name",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "load_balance_hosts",
        "sslcompression",
        "sslsni",
        "sslcertmode",
        "gssdelegation",
        "min_protocol_version",
        "max_protocol_version",
        # other clients' pools and caches
        "connection_limit",
        "pool_timeout",
        "pool_size",
        "max_overflow",
        "pool_mode",
        "pool_recycle",
        "pool_pre_ping",
        "statement_cache_size",
        "prepared_statement_cache_size",
        "prepared_statements",
        "preparethreshold",
        "socket_timeout",
        "command_timeout",
        "timeout",
        "sslaccept",
        "supa",
        "async_fallback",
    )
)

_ONLY_SO: Mapping[str, tuple[frozenset[str], str]] = {
    "client_encoding": (frozenset({"utf8", "utf-8", "auto"}), "UTF8"),
    "gssencmode": (frozenset({"disable", "prefer"}), "disable or prefer"),
    "schema": (frozenset({"public"}), "public (or options=-csearch_path%3D…)"),
    "require_auth": (frozenset({"scram-sha-256"}), "scram-sha-256"),
}
"""Parameters that mean something and are accepted with these values only."""


@dataclass(frozen=True, slots=True)
class Pooler:
    """A PgBouncer (or its like) in transaction mode, between us and Postgres."""

    client_connections: int = POOLER_CLIENTS
    """How many clients it lets in (``max_client_conn``): what workers share, less a reserve."""


class DatabaseUrl(ServerUrl):
    """Where Postgres is, what to call ourselves there, and whether a pooler stands before it."""

    def __init__(self, secret_value: str, *, pooler: Pooler | None = None) -> None:
        """Parse it; raises `BadUrlError`. ``pooler``: there is one, whatever the URL says."""
        super().__init__(secret_value)
        self._hosts: tuple[Host, ...] = ()
        self._arguments: dict[str, Any] = {}
        self.startup: dict[str, str] = {}
        """Settings of the session that the URL asks for by ``options``."""
        self.pooler = pooler
        """None: a connection is a session of Postgres's own."""
        if self:
            self._understand(_taken_apart(self.get_secret_value()))

    def behind(self, pooler: Pooler) -> DatabaseUrl:
        """Return the same, behind a pooler."""
        return DatabaseUrl(self.get_secret_value(), pooler=pooler)

    def arguments(self) -> dict[str, Any]:
        """Return what `asyncpg.connect` is called with, but for the session's settings."""
        return dict(self._arguments)

    @property
    def takes_any_server(self) -> bool:
        """Whether it does not say which server it wants, and none stands before it."""
        return self.pooler is None and self._arguments["target_session_attrs"] is None

    @property
    def means_what_answers(self) -> bool:
        """Whether whatever answers is the right server: on sockets only, and it takes any.

        So says ``shortlist up`` of its own server, which is that of the socket and no other.
        """
        is_socket = all(host.name.startswith("/") for host in self._hosts)
        takes_any = self._arguments["target_session_attrs"] == "any"
        return is_socket and takes_any and self.pooler is None

    @property
    def shown(self) -> str:
        """The URL for people: user, hosts and database."""
        user, name = self._arguments.get("user"), self._arguments.get("database")
        credentials = f"{quote(user, safe='')}@" if user else ""
        hosts = ",".join(str(host) for host in self._hosts)
        return f"postgresql://{credentials}{hosts}{f'/{quote(name)}' if name else ''}"

    def _understand(self, parts: Parts) -> None:
        query = dict(parts.query)
        self._hosts = _hosts(parts, query)
        self._arguments = {
            "user": parts.user or query.pop("user", None),
            "password": _password(parts, query),
            "database": parts.path[1:] or query.pop("dbname", None) or query.pop("database", None),
            **_places(self._hosts),
        }
        for name in ("user", "dbname", "database"):  # the same again: the one in its place counts
            query.pop(name, None)
        if _is_true(query.pop("pgbouncer", "false"), "pgbouncer") and self.pooler is None:
            self.pooler = Pooler()
        self._arguments["target_session_attrs"] = self._session(query)
        self._arguments |= _tls(query)
        if options := query.pop("options", None):
            self.startup["options"] = options
        _refuse_the_rest(query)

    def _session(self, query: dict[str, str]) -> str | None:
        """Choose, of several hosts, the one that takes writes, unless the URL wants another."""
        wanted = query.pop("target_session_attrs", None)
        if wanted is None:
            return "read-write" if len(self._hosts) > 1 and self.pooler is None else None
        return _one_of("target_session_attrs", wanted, _SESSIONS)


def _taken_apart(url: str) -> Parts:
    if url.lower().startswith("jdbc:"):
        raise BadUrlError(f"is for Java; it has to begin with {_WANTED} (often the key “uri”)")
    return take_apart(url, _SCHEMES, _WANTED)


def _password(parts: Parts, query: dict[str, str]) -> str | None:
    in_query = query.pop("password", None)
    return in_query if parts.password is None else parts.password


def _hosts(parts: Parts, query: dict[str, str]) -> tuple[Host, ...]:
    if "hostaddr" in query:
        raise BadUrlError("has hostaddr, which is not supported; give the address as the host")
    given, port = query.pop("host", ""), port_of(query.pop("port", ""))
    hosts = parts.hosts or (hosts_of(given) if "/" not in given else _directories(given))
    return tuple(type(host)(host.name, host.port or port) for host in hosts)


def _directories(given: str) -> tuple[Host, ...]:
    """Read directories of Unix sockets, or names: what follows ``host=`` has no ports."""
    return tuple(hosts_of(quote(one, safe=""))[0] for one in given.split(",") if one)


def _places(hosts: tuple[Host, ...]) -> dict[str, Any]:
    """Split hosts and ports; without any, ``PGHOST`` and ``PGPORT`` keep libpq's meaning."""
    if not hosts:
        return {}
    ports = [host.port for host in hosts]
    given = any(port is not None for port in ports)
    return {
        "host": [host.name for host in hosts],
        "port": [port or 5432 for port in ports] if given else None,
    }


def _tls(query: dict[str, str]) -> dict[str, Any]:
    """Return what the driver needs to know for TLS: its own words, as a URL without a place."""
    passed = {name: query.pop(name) for name in _PASSED if name in query}
    mode = _ssl_mode(query)
    if mode == "verify-ca" and not _has_roots(passed):
        raise BadUrlError("has sslmode=verify-ca, which needs sslrootcert; or use verify-full")
    if mode == "verify-full" and (passed.get("sslrootcert") == "system" or not _has_roots(passed)):
        if any(name in passed for name in ("sslcert", "sslkey", "sslcrl")):
            raise BadUrlError("has a certificate of the client's, which needs sslrootcert, a file")
        return {"ssl": True}  # the system's roots; the name is verified too
    if passed.get("sslrootcert") == "system":
        raise BadUrlError("has sslrootcert=system, which needs sslmode=verify-full")
    for name in _FILES:
        if name in passed and not os.access(passed[name], os.R_OK):
            raise BadUrlError(f"names a file with {name} that cannot be read")
    if mode is not None:
        passed["sslmode"] = mode
    return {"dsn": f"postgresql://?{urlencode(passed, quote_via=quote)}"} if passed else {}


def _ssl_mode(query: dict[str, str]) -> str | None:
    ssl = query.pop("ssl", None)
    given = query.pop("sslmode", None) or (None if ssl is None else _SSL_WORDS.get(ssl, ssl))
    if query.pop("requiressl", "0") == "1" and given is None:
        given = "require"
    mode = None if given is None else _one_of("sslmode", given, _SSL_MODES)
    binding = query.pop("channel_binding", "prefer")
    if _one_of("channel_binding", binding, ("disable", "prefer", "require")) != "require":
        return mode
    if mode in ("disable", "allow", "prefer"):
        raise BadUrlError(f"has channel_binding=require, which needs TLS, and sslmode={mode}")
    return (
        "verify-full"  # the driver binds no channels; a certificate that is verified does as much
    )


def _has_roots(passed: Mapping[str, str]) -> bool:
    """Tell whether something says which certificates are trusted, as libpq looks for it."""
    if passed.get("sslrootcert") or os.environ.get("PGSSLROOTCERT"):
        return True
    return (Path("~").expanduser() / ".postgresql" / "root.crt").is_file()


def _is_true(text: str, name: str) -> bool:
    return _one_of(name, text.lower(), ("true", "1", "false", "0")) in ("true", "1")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise BadUrlError(f"has a {name} that is none of {', '.join(choices)}")
    return value


def _refuse_the_rest(query: Mapping[str, str]) -> None:
    for name, value in query.items():
        if name.lower() in _WITHOUT_MEANING:
            continue
        values, words = _ONLY_SO.get(name, (frozenset(), ""))
        if words and value.lower() not in values:
            raise BadUrlError(f"has a {name} that is not supported; only {words} is")
        if not words:
            raise BadUrlError(UNKNOWN_PARAMETER)
