"""Every SQLSTATE that Postgres may send, and every prefix that Redis may send, has an owner."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import asyncpg
import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException

from shortlist.storage import redis as _patched  # noqa: F401 (teaches the client MISCONF)
from shortlist.storage.faults import Fault, breaks_connection, fault_of

POSTGRES = {
    "08000": "server", "08006": "server", "25006": "server", "25P02": "server", "25P03": "server",
    "40001": "server", "40P01": "server", "53100": "server", "53200": "server", "53300": "server",
    "55P03": "server", "57014": "server", "57P01": "server", "57P03": "server", "58030": "server",
    "XX001": "server", "26000": "server", "42P05": "server",
    "22021": "item", "22P05": "item", "22003": "item", "23502": "item", "23505": "item",
    "23514": "item", "54000": "item", "21000": "item",
    "28P01": "everyone", "3D000": "everyone", "42501": "everyone", "42P01": "everyone",
    "42703": "everyone", "0A000": "everyone",
    "P0001": "bug", "25001": "bug", "2F000": "bug",
}  # fmt: skip

REDIS = {
    "READONLY You can't write against a read only replica.": "server",
    "LOADING Redis is loading the dataset in memory": "server",
    "BUSY Redis is busy running a script.": "server",
    "Command # 1 (HSET a b) of pipeline caused error: ('BUSY Redis is busy.',)": "server",
    "Command # 2 (XADD a) of pipeline caused error: NOREPLICAS Not enough replicas.": "server",
    "Command # 1 (HSET a b) of pipeline caused error: ('WRONGTYPE Operation',)": "bug",
    "NOREPLICAS Not enough good replicas to write.": "server",
    "MASTERDOWN Link with MASTER is down": "server",
    "OOM command not allowed when used memory > 'maxmemory'.": "server",
    "MISCONF Redis is configured to save RDB snapshots": "server",
    "CLUSTERDOWN Hash slot not served": "server",
    "MOVED 3999 127.0.0.1:6381": "server",
    "ASK 3999 127.0.0.1:6381": "server",
    "TRYAGAIN Multiple keys request during rehashing of slot": "server",
    "EXECABORT Transaction discarded because of previous errors.": "server",
    "NOPERM User x has no permissions to run the 'xadd' command": "everyone",
    "NOAUTH Authentication required.": "everyone",
    "WRONGPASS invalid username-password pair": "everyone",
    "WRONGTYPE Operation against a key holding the wrong kind of value": "bug",
    "CROSSSLOT Keys in request don't hash to the same slot": "bug",
    "ERR syntax error": "bug",
}


@pytest.mark.parametrize(("state", "fault"), POSTGRES.items())
def test_an_sqlstate_has_an_owner(state: str, fault: str) -> None:
    error = asyncpg.PostgresError.new({"C": state, "M": "made up", "S": "ERROR"})
    assert error.sqlstate == state
    assert fault_of(error) == fault


@pytest.mark.parametrize(("reply", "fault"), REDIS.items())
def test_a_reply_of_redis_has_an_owner(reply: str, fault: str) -> None:
    parse: Any = BaseParser.parse_error  # its package leaves it untyped
    assert fault_of(parse(reply)) == fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ConnectionResetError(), "server"),
        (TimeoutError(), "server"),
        (ssl.SSLError("handshake"), "server"),
        (asyncpg.InterfaceError("connection is closed"), "server"),
        (asyncpg.InternalClientError("state"), "server"),
        (asyncpg.ClientConfigurationError("sslmode"), "everyone"),
        (RedisConnectionError("closed"), "server"),
        (RedisClusterException("no node"), "server"),
        (KeyError("x"), "bug"),
        (ValueError("x"), "bug"),
        (asyncio.CancelledError(), "bug"),
    ],
)
def test_what_no_server_said_has_an_owner(error: BaseException, fault: str) -> None:
    assert fault_of(error) == fault


async def test_a_value_that_cannot_be_sent_is_its_items_trouble(
    db: asyncpg.Connection[asyncpg.Record],
) -> None:
    for value in ("\ud800", "\x00", 7):
        with pytest.raises(Exception) as refused:  # noqa: PT011 (its class is what is asked)
            await db.fetchval("SELECT $1::text", value)
        assert fault_of(refused.value) is Fault.ITEM
        assert not breaks_connection(refused.value)
