"""Promise 4: a full line answers 429, a dead Postgres 503 within 2 s, and nothing is half done."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.settings import Settings
from shortlist.storage import postgres
from shortlist.storage.postgres.queries import pipelines
from testkit.clients.ledger import Answer
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.clients.ledger import Ledger
    from testkit.databases.servers import Servers
    from testkit.processes.place import Place

CAPACITY = 50
UNAVAILABLE_SECONDS = 2.0
SILENCE_SECONDS = 5.0
"""How long a check waits for an answer that comes too late, before it calls it off."""


async def refused_when_full(place: Place, **settings: object) -> None:
    """Without a worker the line fills up; with one it empties, and accepting goes on."""
    connection = await postgres.connect(place.database_url, application_name="test")
    await pipelines.configure(connection, DEFAULT_PIPELINE, CAPACITY)
    await connection.close()
    async with place.running("maintenance", service_seconds=0.02, **settings) as run:
        answers = [await run.ledger.post() for _ in range(2 * CAPACITY)]
        refused = [answer for answer in answers if answer.status == 429]
        assert refused, f"never refused: {run.ledger.answers}"
        assert set(run.ledger.answers) == {202, 429}
        assert len(run.ledger.accepted) == CAPACITY
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        await run.stack.start("worker")
        await run.ledger.until_scored(CAPACITY)

        async def accepted() -> bool:
            return (await run.ledger.post()).status == 202

        await until(accepted, what="accepting goes on")
        await run.ledger.settle()


async def test_a_full_line_answers_429_with_retry_after(place: Place) -> None:
    await refused_when_full(place)


async def test_off_switch_without_a_capacity_a_full_line_is_never_refused(place: Place) -> None:
    with pytest.raises(AssertionError, match=r"^never refused: "):
        await refused_when_full(place, unguarded="line_capacity")


async def answers_of(ledger: Ledger, count: int) -> list[Answer]:
    """Post side by side; who has no answer after a while counts as silence."""

    async def post() -> Answer:
        try:
            return await asyncio.wait_for(ledger.post(), SILENCE_SECONDS)
        except TimeoutError:
            return Answer(0, {}, SILENCE_SECONDS)

    return list(await asyncio.gather(*(post() for _ in range(count))))


async def refused_while_postgres_is_away(
    place: Place, servers: Servers, *, hung: bool, **settings: object
) -> None:
    """Each post is answered 503 in time; who repeats its key gets one application after all."""
    commit_timeout_seconds = Settings.model_fields["commit_timeout_seconds"].default
    async with place.running(
        "worker", "maintenance", service_seconds=0.02,
        commit_timeout_seconds=commit_timeout_seconds, **settings,
    ) as run:  # fmt: skip
        await run.ledger.submit_until_accepted(5)
        if hung:
            servers.freeze_postgres()
        else:
            await servers.stop_postgres(signal.SIGINT)
        insisting = asyncio.gather(*(run.ledger.insist(f"key-{n}") for n in range(5)))
        try:
            for _ in range(3):
                answers = await answers_of(run.ledger, 20)
                slow = [a for a in answers if a.seconds > UNAVAILABLE_SECONDS]
                assert not slow, f"late: {max(a.seconds for a in slow):.2f} s"
                assert {answer.status for answer in answers} == {503}
                assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
        except BaseException:
            insisting.cancel()
            raise
        if hung:
            servers.thaw_postgres()
        else:
            await servers.start_postgres()
        await asyncio.wait_for(insisting, 20)
        await run.ledger.submit_until_accepted(10)
        await run.ledger.settle()
        await run.ledger.assert_nothing_is_half_done()
        keyed = "SELECT count(*) FROM applications WHERE payload LIKE '%-key-%'"
        assert await run.ledger.value(keyed) == 5, "a repeated key made a second application"


@pytest.mark.quiet
@pytest.mark.parametrize("absence", ["dead", "hung"])
async def test_an_absent_postgres_answers_503_within_2_s_and_nothing_is_half_done(
    own_place: Place, servers: Servers, absence: str
) -> None:
    await refused_while_postgres_is_away(own_place, servers, hung=absence == "hung")


async def test_off_switch_without_the_commit_timeout_a_hung_postgres_hangs_clients(
    own_place: Place, servers: Servers
) -> None:
    with pytest.raises(AssertionError, match=r"^late: "):
        await refused_while_postgres_is_away(
            own_place, servers, hung=True, unguarded="commit_timeout"
        )
