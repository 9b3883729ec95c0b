"""A server runs a script by its hash, and is sent the text when it does not have it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ResponseError

import shortlist
from shortlist.storage.redis.scripts import SCRIPTS, Script

if TYPE_CHECKING:
    from shortlist.storage.redis import Redis

SOURCE = Path(shortlist.__path__[0])
DOUBLED = Script("return 2 * ARGV[1]")


def trees() -> list[ast.Module]:
    return [ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")]


async def calls(redis: Redis) -> dict[str, int]:
    """How often each of the two commands was run."""
    stats: dict[str, Any] = await redis.info("commandstats")
    return {name: stats[f"cmdstat_{name}"]["calls"] for name in ("eval", "evalsha")}


@pytest.fixture
async def empty(line_redis: Redis) -> Redis:
    """A server that has no script, and counts from now."""
    await line_redis.script_flush()
    await line_redis.config_resetstat()
    return line_redis


async def test_the_text_is_sent_once(empty: Redis) -> None:
    for _ in range(3):
        assert await DOUBLED.run(empty, [], "21") == 42
    assert await calls(empty) == {"eval": 1, "evalsha": 3}


async def test_it_is_sent_again_after_the_server_forgot_it(empty: Redis) -> None:
    for _ in range(2):
        assert await DOUBLED.run(empty, [], "21") == 42
        await empty.script_flush()
    assert await calls(empty) == {"eval": 2, "evalsha": 2}


async def test_a_connection_whose_server_lacked_a_script_is_used_again(empty: Redis) -> None:
    before = await empty.client_id()
    await DOUBLED.run(empty, [], "21")
    assert await empty.client_id() == before


async def test_another_error_of_a_script_is_raised(empty: Redis) -> None:
    with pytest.raises(ResponseError, match="no such thing"):
        await Script("return redis.error_reply('ERR no such thing')").run(empty, [])


@pytest.mark.parametrize("name", SCRIPTS)
async def test_redis_understands_each_and_knows_it_by_its_hash(
    line_redis: Redis, name: str
) -> None:
    assert await line_redis.script_load(SCRIPTS[name].text) == SCRIPTS[name].sha


def test_each_script_is_used_and_each_that_is_used_is_there() -> None:
    used = {
        ast.literal_eval(node.slice)
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "SCRIPTS"
    }
    assert used == SCRIPTS.keys()


def test_no_module_holds_a_script() -> None:
    texts = [
        node.value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in texts if "redis.call(" in text or "redis.pcall(" in text] == []
