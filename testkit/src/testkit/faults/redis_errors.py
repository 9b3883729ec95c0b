"""At which steps Redis is made to refuse, and where in the tests.

`AT_ONCE` and `rows` are refused in real processes while applications are posted
(`acceptance/test_every_redis_error_at_every_step.py`). `BY_THE_SAME_GUARD` have no refusal of their
own: each names what survives them. `unit/test_every_step_has_a_row.py` compares all of them with
the source (`testkit.faults.steps.redis_steps`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.storage.redis import keys
from shortlist.storage.redis.scripts import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shortlist.storage.redis import Redis
    from testkit.processes.place import Running

AT_ONCE = {
    "line._read": "XREADGROUP",
    "line.publish": "EVAL INCRBY",
    "line.forget": "XACK",
    "line._ask_depth": "XLEN",
    "heartbeats.beat": "HSET",
    "generation.memory": "EVAL INFO",
    "connection_pool._observe": "INFO",
}
"""Step → the command by which it is met while Redis refuses everything, as
`testkit.proxies.redis.RedisProxy.refused` counts it."""


async def nothing(run: Running, redis: Redis) -> None:
    """The load alone."""
    del run, redis


async def lose_an_entry(run: Running, redis: Redis) -> None:
    """As when ingest died before it published: the sweep puts it in the line."""
    del redis
    one, payload = uuid7(), "unpublished"
    await run.ledger.query(
        "INSERT INTO applications (id, pipeline, payload) VALUES ($1, $2, $3)",
        one,
        DEFAULT_PIPELINE,
        payload,
    )
    run.ledger.accepted[one] = payload


async def forget_the_epoch(run: Running, redis: Redis) -> None:
    """As when Redis lost its memory: maintenance publishes everything again."""
    del run
    await redis.delete(keys.epoch(DEFAULT_PIPELINE))


@dataclass(frozen=True)
class Row:
    """A step that is refused by itself, as it comes behind another one or seldom."""

    step: str
    refuse: str
    """A command, or a part of its script that no other script has."""
    met_as: str
    """As `AT_ONCE`."""
    provoke: Callable[[Running, Redis], Awaitable[None]] = nothing
    """Done once, when it is refused."""


def _only(script: str, part: str) -> str:
    """A part of a script that no other has."""
    assert [name for name, one in SCRIPTS.items() if part in one.text] == [script]
    return part


ROWS = (
    Row("line._last_delivered", "XINFO", "XINFO"),
    Row("line._range", "XRANGE", "XRANGE"),
    Row("line.server_seconds", _only("time", "return redis.call('TIME')"), "EVAL TIME"),
    Row("events.announce", "PUBLISH", "EVAL PUBLISH"),
    Row("model_limits.paused_for", "PTTL", "PTTL"),
    Row("refusal.current", "GET", "GET"),
    Row(
        "model_limits._take",
        _only("take", "string.format('%.17g', start - now)"),
        "EVAL TIME",
    ),
    Row("line.republish", "XADD", "XADD", lose_an_entry),
    Row(
        "generation.begin_restoring",
        _only("begin_epoch", "KEYS[1], ARGV[1] .. ' ' .. run)"),
        "EVAL SET",
        forget_the_epoch,
    ),
    Row("line.ensure_group", "XGROUP", "XGROUP", forget_the_epoch),
    Row(
        "generation.finish_restoring",
        _only("finish_epoch", "ARGV[2] .. ' ' .. run"),
        "EVAL SET",
        forget_the_epoch,
    ),
)

_REPEAT = "shortlist.maintenance.context:LeaderContext.repeat"
_OBSERVER = "shortlist.embedded.scaling.observer:Observer"
_UP = "shortlist.embedded.supervision.supervisor:Supervisor.tick"
_TELL = "shortlist.worker.gate:Gate._share"
_SUBSCRIPTION = "shortlist.storage.redis.events:Announcements.run"

BY_THE_SAME_GUARD = {
    "line.delivered_to": "shortlist.worker.puller:Puller.run",
    "line.consumers": _REPEAT,
    "line.pending": _REPEAT,
    "line.forget_consumer": _REPEAT,
    "heartbeats.mentioned": _REPEAT,
    "heartbeats.leave": _REPEAT,
    "line.submissions": _OBSERVER,
    "heartbeats.all_beats": _OBSERVER,
    "heartbeats.all_grants": _OBSERVER,
    "heartbeats.draining": _OBSERVER,
    "heartbeats.publish_grants": _UP,
    "heartbeats.set_draining": _UP,
    "model_limits.pause": _TELL,
    "refusal.refuse": _TELL,
    "refusal.did_not_ask": _TELL,
    "refusal.lift": _TELL,
    "refusal.may_ask": "shortlist.worker.gate:Gate._may_ask",
    "events.announce_openings": "shortlist.ingest.api.event_feed:EventFeed._keep_announcing",
    "events._subscribe": _SUBSCRIPTION,
    "events._read": _SUBSCRIPTION,
    "events._write": _SUBSCRIPTION,
    "client.takes_writes": "shortlist.storage.redis:takes_writes",
    "fitness.refusal": "shortlist.storage.redis.fitness:refusal",
}
"""Step → the function or class whose caller survives whatever Redis says there."""


def in_a_table() -> set[str]:
    """Every step that has a row."""
    return {*AT_ONCE, *(row.step for row in ROWS), *BY_THE_SAME_GUARD}
