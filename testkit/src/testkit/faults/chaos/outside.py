"""Faults from outside: poisonous payloads, a model that refuses, clients that mean no good."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from testkit.clients import hostile
from testkit.clients.contract import flaw_of_raw
from testkit.faults.chaos.chaos import CONCURRENCY, MOST_WORKERS
from testkit.faults.chaos.fault import fault
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.faults.chaos.chaos import Chaos
    from testkit.processes.messages_api import Kind

POISONOUS = "its scoring process died, 2 times by now, while its worker lived: "
BAD_TEXTS = {
    "!bad_request": "claude: 400 invalid_request_error",
    "!too_large": "claude: 413 request_too_large",
    "!refusal": "claude: the reply stopped with refusal",
    "!malformed": "claude: the reply is not the JSON that was asked for",
}
"""What is asked of the model, and why its application fails."""

REFUSALS: tuple[Kind, ...] = (
    "unauthorized", "forbidden", "no_such_model", "billing", "no_credit", "spend_limit",
)  # fmt: skip
WAITS = (
    None, "0", "1", "-1", "1e9", "86400", "99999999999999999999", "soon", "",
    "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
)  # fmt: skip
"""Of ``Retry-After``."""

BURST_PER_SECOND = 150.0
BURST_SECONDS = (2.0, 4.0)

CROWD_SECONDS = 12.0
"""A request that has not arrived whole after 10 s is refused."""

_ERRORS_BEFORE_IT_IS_LOOKED_INTO = 4
"""Of each worker (`worker.scorers.canary.MANY_FAILURES`)."""


async def _insist(chaos: Chaos, prefix: str, fate: str = "") -> None:
    """Post until one is accepted, as a client would."""

    async def accepted() -> bool:
        return (await chaos.ledger.post(prefix=f"{prefix} ", fate=fate)).status == 202

    await until(accepted, what=f"{prefix} is accepted")


@fault("scores")
async def poison_a_worker(chaos: Chaos) -> str:
    """A payload whose worker dies, or hangs until it ends itself, and then a process of its own."""
    poison = chaos.draw(("!crash", "!loop"))
    await _insist(chaos, poison, POISONOUS)
    return poison


@fault()
async def reply_with_nul(chaos: Chaos) -> str:
    """A verdict that Postgres cannot hold as it is: it is cleaned and written."""
    await _insist(chaos, "!nul")
    await _insist(chaos, "!nul_reply")
    return ""


@fault()
async def refuse_a_text(chaos: Chaos) -> str:
    """The model dislikes one text: its application fails, and only that."""
    text = chaos.draw(tuple(BAD_TEXTS))
    await _insist(chaos, text, BAD_TEXTS[text])
    return text


async def _misbehave(chaos: Chaos, kind: Kind, **fields: Any) -> str:
    chaos.api.behave(kind, **fields)
    seconds = chaos.seconds()
    await asyncio.sleep(seconds)  # how long the fault lasts
    chaos.behave()
    return f"{kind}, {seconds:.1f} s"


@fault("time")
async def model_refuses(chaos: Chaos) -> str:
    return await _misbehave(chaos, chaos.draw(REFUSALS))


@fault("time")
async def model_throttles(chaos: Chaos) -> str:
    wait = chaos.draw(WAITS)
    how = await _misbehave(chaos, chaos.draw(("throttled", "overloaded")), retry_after=wait)
    return f"{how}, Retry-After {wait!r}"


@fault("time", "errors")
async def model_fails(chaos: Chaos) -> str:
    chaos.answered_errors += MOST_WORKERS * (_ERRORS_BEFORE_IT_IS_LOOKED_INTO + CONCURRENCY)
    return await _misbehave(chaos, chaos.draw(("server_error", "reset", "torn", "not_a_message")))


@fault()
async def hostile_clients(chaos: Chaos) -> str:
    """A crowd of one kind; whatever it is answered has the contract's shape."""
    name, count, raw = chaos.draw(
        (
            ("half a head", 300, hostile.HALF_HEAD),
            ("half a body", 300, hostile.HALF_BODY),
            ("nearly all", 100, hostile.NEARLY_ALL),
            ("large", 40, hostile.LARGE),
            ("tiny fields", 40, hostile.TINY_FIELDS),
            ("trailers", 2, hostile.TRAILERS),
            ("unread", 40, hostile.UNREAD),
        )
    )
    chaos.meanwhile.append(asyncio.create_task(_come(chaos, count, raw)))
    return f"{count} with {name}"


async def _come(chaos: Chaos, count: int, raw: bytes) -> None:
    """They stay while other faults happen, longer than a request may take to arrive."""
    answers = await asyncio.to_thread(_crowd, chaos.ingest.port, count, raw)
    chaos.ledger.flaws.extend(flaw for answer in answers if (flaw := flaw_of_raw(answer)))
    chaos.answered_crowds.update(hostile.statuses(answers))


def _crowd(port: int, count: int, raw: bytes) -> list[bytes]:
    with hostile.Crowd(port) as crowd:
        crowd.come(count, raw)
        time.sleep(CROWD_SECONDS)
        return crowd.answers()


@fault()
async def burst_of_applications(chaos: Chaos) -> str:
    """More than the line takes: ingest refuses with 429."""
    seconds = chaos.seconds(*BURST_SECONDS)
    before = chaos.ledger.answers[429]
    async with chaos.ledger.load(BURST_PER_SECOND):
        await asyncio.sleep(seconds)  # how long the fault lasts
    return f"{seconds:.1f} s, {chaos.ledger.answers[429] - before} × 429"


FAULTS = [
    poison_a_worker, reply_with_nul, refuse_a_text, model_refuses, model_throttles, model_fails,
    hostile_clients, burst_of_applications,
]  # fmt: skip
