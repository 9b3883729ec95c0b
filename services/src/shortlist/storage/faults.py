"""Says of an error whose trouble it is. Every step that speaks to Postgres or Redis asks here.

What follows from the answer is the same at every step:

* ``server``: the server's trouble (away, full, read-only, failing over, a deadlock). Try again,
  with backoff, on another connection; nothing is booked on an application.
* ``item``: the data of one item (a value that Postgres refuses). Trying again does not help: end
  that one with its true reason, and never its neighbours; a batch is tried apart first.
* ``everyone``: what would meet every item alike (a missing permission, table or password). Wait,
  say so loudly, try again slowly; nothing is booked on an application.
* ``bug``: none of these. End the attempt with the error's name, and log it.

Sources: PostgreSQL's appendix "Error Codes" (classes are the first two characters of an
SQLSTATE); the prefixes of Redis's ``src/server.c`` (``createSharedObjects``) and of its cluster
and Sentinel specifications.
"""

from __future__ import annotations

import re
import ssl
from enum import StrEnum

import asyncpg
import redis.exceptions

from shortlist.domain.errors import ShortlistError


class Fault(StrEnum):
    """Whose trouble an error is."""

    SERVER = "server"
    ITEM = "item"
    EVERYONE = "everyone"
    BUG = "bug"


_SQLSTATES: dict[str, Fault] = {
    "25006": Fault.SERVER,  # read_only_sql_transaction: the primary was demoted
    "25P02": Fault.SERVER,  # in_failed_sql_transaction: a reused connection was left in one
    "25P03": Fault.SERVER,  # idle_in_transaction_session_timeout
    "25P04": Fault.SERVER,  # transaction_timeout
    "26000": Fault.SERVER,  # a pooler gave us another connection than the one we prepared on
    "42P05": Fault.SERVER,  # the same, prepared twice
}
"""Single codes, where they differ from their class."""

_SQLSTATE_CLASSES: dict[str, Fault] = {
    "08": Fault.SERVER,  # connection exception
    "40": Fault.SERVER,  # transaction rollback: serialization failure, deadlock
    "53": Fault.SERVER,  # insufficient resources: disk full, out of memory, too many connections
    "55": Fault.SERVER,  # object not in the right state: lock not available
    "57": Fault.SERVER,  # operator intervention: cancelled, shutting down, crashed
    "58": Fault.SERVER,  # system error: I/O
    "XX": Fault.SERVER,  # internal error: that server's data is corrupted, another's may not be
    "21": Fault.ITEM,  # cardinality violation
    "22": Fault.ITEM,  # data exception
    "23": Fault.ITEM,  # integrity constraint violation
    "54": Fault.ITEM,  # program limit exceeded: a value too large for an index
    "0A": Fault.EVERYONE,  # feature not supported
    "28": Fault.EVERYONE,  # invalid authorization
    "3D": Fault.EVERYONE,  # no such database
    "3F": Fault.EVERYONE,  # no such schema
    "42": Fault.EVERYONE,  # no such table, column or function; no privilege
}

_REDIS_PREFIXES: dict[str, Fault] = dict.fromkeys(
    [
        "READONLY",
        "LOADING",
        "BUSY",
        "NOREPLICAS",
        "MASTERDOWN",
        "OOM",
        "MISCONF",
        "CLUSTERDOWN",
        "MOVED",
        "ASK",
        "TRYAGAIN",
        "NOMASTERLINK",
        "UNBLOCKED",
        "UNKILLABLE",
        "EXECABORT",
        "STALE",
        "FAILOVER",
        "IOERR",
    ],
    Fault.SERVER,
) | dict.fromkeys(("NOPERM", "NOAUTH", "WRONGPASS", "NOPROTO"), Fault.EVERYONE)
"""First words of error replies. All others (WRONGTYPE, ERR, NOGROUP …) are bugs of ours."""

_REDIS_TYPES: tuple[tuple[type[Exception], Fault], ...] = (
    # Most special first. The client cuts the prefix of those that it has a class for.
    (redis.exceptions.AuthenticationError, Fault.EVERYONE),
    (redis.exceptions.AuthenticationWrongNumberOfArgsError, Fault.EVERYONE),
    (redis.exceptions.AuthorizationError, Fault.EVERYONE),
    (redis.exceptions.NoPermissionError, Fault.EVERYONE),
    (redis.exceptions.ClusterCrossSlotError, Fault.BUG),
    (redis.exceptions.CrossSlotTransactionError, Fault.BUG),
    (redis.exceptions.ConnectionError, Fault.SERVER),
    (redis.exceptions.TimeoutError, Fault.SERVER),
    (redis.exceptions.ReadOnlyError, Fault.SERVER),
    (redis.exceptions.OutOfMemoryError, Fault.SERVER),
    (redis.exceptions.ClusterError, Fault.SERVER),
    (redis.exceptions.AskError, Fault.SERVER),
    (redis.exceptions.TryAgainError, Fault.SERVER),
    (redis.exceptions.ExecAbortError, Fault.SERVER),
    (redis.exceptions.RedisClusterException, Fault.SERVER),
    (redis.exceptions.InvalidResponse, Fault.SERVER),  # what answers there is no Redis
)

_IN_A_PIPELINE = " of pipeline caused error: "
"""The client puts its own words before an error reply that came in a pipeline."""

_IN_A_SCRIPT = re.compile(r": -([A-Z]+) ")


class OutcomeError(ShortlistError):
    """An outcome of an operation that was done: not a fault of any server, never tried again."""


def fault_of(error: BaseException) -> Fault:
    """Decide whose trouble an error is, however it came: driver, client, server or network."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_postgres(error)
    if isinstance(error, redis.exceptions.RedisError | redis.exceptions.RedisClusterException):
        return _of_redis(error)
    if isinstance(error, asyncpg.InterfaceError | UnicodeEncodeError) and isinstance(
        error, ValueError
    ):
        # A value that the driver cannot encode, or an option of ours that it does not know.
        is_option = isinstance(error, asyncpg.ClientConfigurationError)
        return Fault.EVERYONE if is_option else Fault.ITEM
    if isinstance(error, ssl.SSLCertVerificationError):
        return Fault.EVERYONE  # no other try makes a certificate of another authority good
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Fault.SERVER  # OSError includes ConnectionError, TimeoutError and those of TLS
    return Fault.BUG


def describe(error: BaseException) -> str:
    """Describe an error, with its name: a reason that a person can act on."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def is_outage(error: BaseException) -> bool:
    """Tell if a server does not work for us now: its own trouble, or one that everyone meets."""
    return fault_of(error) in {Fault.SERVER, Fault.EVERYONE}


def is_answer(error: BaseException) -> bool:
    """Tell whether a server answered, with an error: the connection itself is well."""
    if isinstance(error, asyncpg.PostgresError):
        return not isinstance(error, asyncpg.PostgresConnectionError)
    return isinstance(error, redis.exceptions.ResponseError)


def has_state(error: BaseException, *states: str) -> bool:
    """Tell whether Postgres refused with one of these SQLSTATEs."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in states


def is_missing(error: BaseException) -> bool:
    """Tell if Redis says that a stream or its group is missing: it lost its memory, or is new."""
    return isinstance(error, redis.exceptions.ResponseError) and str(error).startswith(
        ("NOGROUP", "no such key", "ERR no such key", "UNBLOCKED")
    )


def lacks_script(error: BaseException) -> bool:
    """Tell if Redis says that it does not have a script: it ran nothing, and takes its text."""
    return isinstance(error, redis.exceptions.NoScriptError)


def may_be_of_one(error: BaseException) -> bool:
    """Tell whether the error of a batch may be the trouble of one of its items: try them apart."""
    return fault_of(error) in {Fault.ITEM, Fault.BUG}


def breaks_connection(error: BaseException) -> bool:
    """Tell whether the connection on which it happened must not be used again.

    Any error but the item's own: a server that refuses may be the wrong one by now (demoted,
    restored, behind a name that points elsewhere), and only a new connection finds that out.
    """
    return not isinstance(error, OutcomeError) and fault_of(error) is not Fault.ITEM


def _of_postgres(error: asyncpg.PostgresError) -> Fault:
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Fault.SERVER  # a migration ran meanwhile: a new connection prepares anew
    state = error.sqlstate or ""
    return _SQLSTATES.get(state) or _SQLSTATE_CLASSES.get(state[:2], Fault.BUG)


def _of_redis(error: Exception) -> Fault:
    for kind, fault in _REDIS_TYPES:
        if isinstance(error, kind):
            return fault
    return _REDIS_PREFIXES.get(_first_word(str(error)), Fault.BUG)


def _first_word(reply: str) -> str:
    """Return the word that names the kind of an error reply.

    Redis 6.2 wraps what a script met: ``Error running script (…): …: -READONLY You can't …``.
    """
    reply = reply.rpartition(_IN_A_PIPELINE)[2].lstrip("('\"")
    inner = _IN_A_SCRIPT.search(reply) if reply.startswith("Error running script") else None
    return inner[1] if inner else reply.partition(" ")[0]
