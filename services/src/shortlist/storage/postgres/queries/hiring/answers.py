"""Idempotency keys of hiring: taken, and kept with their answers, in the transaction of the act."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from shortlist.storage.postgres import Connection


class Key(NamedTuple):
    """An idempotency key, which belongs to a route."""

    key: str
    route: str


class Given(NamedTuple):
    """What an earlier call with a key was answered."""

    body_hash: bytes
    answer: str


async def take(connection: Connection, hashes: Mapping[Key, bytes]) -> dict[Key, Given]:
    """Take keys, and return those that were used before, with what was answered."""
    if not hashes:
        return {}
    taken = await SQL["hiring_answers.take"].fetch(
        connection,
        keys=[one.key for one in hashes],
        routes=[one.route for one in hashes],
        body_hashes=list(hashes.values()),
    )
    used = hashes.keys() - {Key(row["key"], row["route"]) for row in taken}
    if not used:
        return {}
    rows = await SQL["hiring_answers.given"].fetch(connection, **_columns(used))
    return {Key(row["key"], row["route"]): Given(row["body_hash"], row["answer"]) for row in rows}


async def keep(connection: Connection, answers: Mapping[Key, str | None]) -> None:
    """Keep the answers of keys that were taken; those without one (None) are given back."""
    kept = {key: answer for key, answer in answers.items() if answer is not None}
    if kept:
        await SQL["hiring_answers.keep"].execute(
            connection, answers=list(kept.values()), **_columns(kept)
        )
    if back := answers.keys() - kept.keys():
        await SQL["hiring_answers.give_back"].execute(connection, **_columns(back))


def _columns(keys: Collection[Key]) -> dict[str, list[str]]:
    return {"keys": [one.key for one in keys], "routes": [one.route for one in keys]}
