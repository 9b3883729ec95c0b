"""``REDIS_URL``: a Redis or Valkey, as redis-py and providers write it.

Each scheme has one entry in `_SCHEMES`: a function that makes the client's arguments of the parts.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from shortlist.urls.parts import ENCODE, UNKNOWN_PARAMETER, BadUrlError, ServerUrl, take_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shortlist.urls.parts import Host, Parts

_WANTED = "redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://"

_SEVERAL = "those of Sentinels begin with redis+sentinel://, of a cluster with redis+cluster://"

LeadsTo = Literal["server", "sentinels", "cluster"]

_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS = (*_TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname", "ssl_password")
_VERIFICATION = {
    "none": "none",
    "cert_none": "none",
    "optional": "optional",
    "cert_optional": "optional",
    "required": "required",
    "cert_required": "required",
}

_WITHOUT_MEANING = frozenset(
    # Shortlist has time-outs, tries and a pool of its own, and speaks RESP2
    (
        "socket_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "timeout",
        "retry_on_timeout",
        "retry_on_error",
        "max_connections",
        "health_check_interval",
        "protocol",
        "client_name",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "legacy_responses",
        "lib_name",
        "lib_version",
        "family",
        "pool_size",
        "connection_limit",
    )
)


class RedisUrl(ServerUrl):
    """Where Redis is, and what to call ourselves there."""

    def __init__(self, secret_value: str) -> None:
        """Parse it; raises `BadUrlError`."""
        super().__init__(secret_value)
        self.scheme = ""
        self._shown, self._arguments = "redis://", dict[str, Any]()
        if self:
            parts = take_apart(self.get_secret_value(), _SCHEMES, _WANTED)
            query = dict(parts.query)
            self.scheme = parts.scheme
            self._arguments = _SCHEMES[parts.scheme](parts, query) | _credentials(parts, query)
            _refuse_the_rest(query)
            self._shown = _shown(parts, self._arguments["db"])

    def arguments(self) -> dict[str, Any]:
        """Return what the client is made with: where it connects to, as whom."""
        return dict(self._arguments)

    @property
    def leads_to(self) -> LeadsTo:
        """What answers there: one server, Sentinels that know the primary, or a cluster."""
        kind = self.scheme.partition("+")[2]
        return "sentinels" if kind == "sentinel" else "cluster" if kind == "cluster" else "server"

    @property
    def is_socket(self) -> bool:
        """Whether it names a socket of this machine, which is one server and no other."""
        return self.scheme == "unix"

    @property
    def shown(self) -> str:
        """The URL for people: user, place and database."""
        return self._shown


def _tcp(parts: Parts, query: dict[str, str]) -> dict[str, Any]:
    host = _only_host(parts)
    return {
        "host": host.name if host else "localhost",
        "port": (host.port if host else None) or 6379,
        "db": _database(query.pop("db", "") or parts.path.strip("/")),
    }


def _tls(
    place: Callable[[Parts, dict[str, str]], dict[str, Any]],
    parts: Parts,
    query: dict[str, str],
) -> dict[str, Any]:
    given = {name: query.pop(name) for name in _TLS if name in query}
    for name in _TLS_FILES:
        if name in given and not os.access(given[name], os.R_OK):
            raise BadUrlError(f"names a file with {name} that cannot be read")
    arguments: dict[str, Any] = {**place(parts, query), "ssl": True, **given}
    verification = given.get("ssl_cert_reqs", "required").lower()
    if verification not in _VERIFICATION:
        raise BadUrlError("has an ssl_cert_reqs that is none of none, optional, required")
    arguments["ssl_cert_reqs"] = _VERIFICATION[verification]
    check = given.get("ssl_check_hostname", "true").lower() in ("true", "1", "yes")
    arguments["ssl_check_hostname"] = check and arguments["ssl_cert_reqs"] != "none"
    return arguments


def _sentinels(parts: Parts, query: dict[str, str]) -> dict[str, Any]:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise BadUrlError("has no service: it looks like redis+sentinel://host:26379/service/0")
    credentials = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    return {
        "hosts": _pairs(parts, 26379),
        "service": service,
        "db": _database(query.pop("db", "") or database),
        "sentinel_credentials": {name: value for name, value in credentials.items() if value},
    }


def _nodes(parts: Parts, query: dict[str, str]) -> dict[str, Any]:
    if _database(query.pop("db", "") or parts.path.strip("/")):
        raise BadUrlError("has a database that is not 0; a cluster has no other")
    return {"hosts": _pairs(parts, 6379), "db": 0}


def _pairs(parts: Parts, port: int) -> list[tuple[str, int]]:
    hosts = [(host.name, host.port or port) for host in parts.hosts]
    return hosts or [("localhost", port)]


def _unix(parts: Parts, query: dict[str, str]) -> dict[str, Any]:
    if parts.hosts or not parts.path:
        raise BadUrlError("has no path of a socket: it looks like unix:///path/redis.sock?db=0")
    return {"unix_socket_path": parts.path, "db": _database(query.pop("db", ""))}


_SCHEMES: Mapping[str, Callable[[Parts, dict[str, str]], dict[str, Any]]] = {
    "redis": _tcp,
    "rediss": partial(_tls, _tcp),
    "valkey": _tcp,
    "valkeys": partial(_tls, _tcp),
    "redis+sentinel": _sentinels,
    "rediss+sentinel": partial(_tls, _sentinels),
    "redis+cluster": _nodes,
    "rediss+cluster": partial(_tls, _nodes),
    "unix": _unix,
}


def _only_host(parts: Parts) -> Host | None:
    if len(parts.hosts) > 1:
        raise BadUrlError(f"has several hosts; {_SEVERAL}. Or {ENCODE}")
    return parts.hosts[0] if parts.hosts else None


def _credentials(parts: Parts, query: dict[str, str]) -> dict[str, Any]:
    in_query = {name: query.pop(name, None) for name in ("username", "password")}
    return {
        "username": parts.user or in_query["username"],
        "password": in_query["password"] if parts.password is None else parts.password,
    }


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise BadUrlError(f"has a database that is no number; {ENCODE}")
    return int(text)


def _refuse_the_rest(query: Mapping[str, str]) -> None:
    if any(name not in _WITHOUT_MEANING for name in query):
        raise BadUrlError(UNKNOWN_PARAMETER)


def _shown(parts: Parts, database: int) -> str:
    user = f"{quote(parts.user, safe='')}@" if parts.user else ""
    place = ",".join(str(host) for host in parts.hosts)
    path = f"{quote(parts.path)}?db={database}" if parts.scheme == "unix" else f"/{database}"
    if parts.scheme.endswith("+sentinel"):
        path = f"/{quote(parts.path.strip('/').partition('/')[0])}{path}"
    return f"{parts.scheme}://{user}{place}{path}"
