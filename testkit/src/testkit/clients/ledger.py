"""A client that keeps books: what it was answered, and whether that was true in the end.

Every id that got 202 must have exactly one score, in the results and in the audit log; and every
application that is there at all, 202 or not, must have exactly one too. A score is also the right
one: the simulated scorer's depends on the payload only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

import aiohttp

from shortlist.storage import postgres
from shortlist.storage.faults import is_outage
from shortlist.worker.scorers.simulated import score_of_payload
from testkit.clients.contract import flaw
from testkit.waiting import PATIENCE_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping

    import asyncpg

NO_ANSWER = 0
"""What is counted where a status would be, when the connection broke."""

_REQUEST_TIMEOUT_SECONDS = 15.0
_MOST_AT_ONCE = 200

_BOOKS = """
SELECT a.id, a.payload, r.status, r.score, r.reason, r.attempt,
       coalesce(l.scored, 0) AS scored, coalesce(l.other, 0) AS other
FROM applications a
LEFT JOIN results r ON r.application_id = a.id
LEFT JOIN (
    SELECT application_id, count(*) FILTER (WHERE event = 'scored') AS scored,
           count(*) FILTER (WHERE event <> 'scored') AS other
    FROM audit_log GROUP BY application_id
) l ON l.application_id = a.id
"""

_UNFINISHED = """
SELECT count(*) FROM applications a
WHERE NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)
"""


@dataclass(frozen=True)
class Answer:
    """One reply; status `NO_ANSWER` when there was none."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class Ledger:
    """Posts applications and checks what became of them; an async context manager."""

    def __init__(self, ingest_url: str, database_url: str, pipeline: str = "") -> None:
        """Books are kept in memory, and compared with the database by `settle`.

        ``pipeline``: whose line it posts to; empty: the default one's.
        """
        self.pipeline = pipeline
        self.accepted: dict[UUID, str] = {}
        self.refused: dict[str, float] = {}
        """Payloads that were answered, and not with 202, and when (monotonic seconds).

        Those sent with a key may yet be accepted.
        """
        self.fates: dict[str, str] = {}
        """Payloads that are to fail, and how the reason begins."""
        self.flaws: list[str] = []
        """Refusals that are not as the contract has them."""
        self.answers: Counter[int] = Counter()
        self._ingest_url = ingest_url
        self.database_url = database_url
        self._run = uuid4().hex[:8]
        self._posted = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=_MOST_AT_ONCE),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def post(self, *, key: str | None = None, prefix: str = "", fate: str = "") -> Answer:
        """Submit one application whose payload was not submitted before.

        ``fate``: it is to fail, for a reason that begins so.
        """
        self._posted += 1
        payload = f"{prefix}{self._run}-{self._posted if key is None else key}"
        if fate:
            self.fates[payload] = fate
        headers = {} if key is None else {"Idempotency-Key": key}
        body = {"candidate": "Ada", "payload": payload}
        if self.pipeline:
            body["pipeline"] = self.pipeline
        answer, reply = await self._send(body, headers)
        self.answers[answer.status] += 1
        if answer.status == 202:
            self.accepted[UUID(reply["id"])] = payload
            self.refused.pop(payload, None)
        elif answer.status != NO_ANSWER:
            self.refused[payload] = time.monotonic()
        return answer

    async def insist(self, key: str, *, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Submit one application with an idempotency key, again and again until it is accepted."""

        async def accepted() -> bool:
            return (await self.post(key=key)).status == 202

        await until(
            accepted, within_seconds=within_seconds, what=f"{key} is accepted", poll_seconds=0.1
        )

    async def _send(self, body: dict[str, str], headers: dict[str, str]) -> tuple[Answer, Any]:
        assert self._session is not None
        started = time.monotonic()
        url = f"{self._ingest_url}/applications"
        try:
            async with self._session.post(url, json=body, headers=headers) as reply:
                text = await reply.read()
                seconds = time.monotonic() - started
                if (wrong := flaw(reply.status, reply.headers, text)) is not None:
                    self.flaws.append(wrong)
                content = json.loads(text) if reply.status == 202 else None
                return Answer(reply.status, dict(reply.headers), seconds), content
        except (aiohttp.ClientError, OSError):
            return Answer(NO_ANSWER, {}, time.monotonic() - started), None

    async def submit(self, count: int, *, at_once: int = 20) -> None:
        """Post ``count`` applications, ``at_once`` side by side."""
        left = iter(range(count))

        async def client() -> None:
            for _ in left:
                await self.post()

        await asyncio.gather(*(client() for _ in range(at_once)))

    async def submit_until_accepted(
        self, count: int, *, within_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Post, one after the other, until so many were accepted, however often that fails."""

        async def accepted() -> bool:
            return (await self.post()).status == 202

        for _ in range(count):
            await until(accepted, within_seconds=within_seconds, what=f"accepted: {self.answers}")

    @asynccontextmanager
    async def load(self, per_second: float) -> AsyncIterator[None]:
        """Post at a rate for the length of a block; waits for the answers at its end."""
        posts: set[asyncio.Task[Answer]] = set()
        pacer = asyncio.create_task(self._pace(per_second, posts))
        try:
            yield
        finally:
            pacer.cancel()
            await asyncio.gather(pacer, return_exceptions=True)
            if posts:
                await asyncio.wait(posts)

    async def _pace(self, per_second: float, posts: set[asyncio.Task[Answer]]) -> None:
        started, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - started) * per_second) - sent
            sent += due
            for _ in range(min(due, _MOST_AT_ONCE - len(posts))):
                task = asyncio.create_task(self.post())
                posts.add(task)
                task.add_done_callback(posts.discard)
            await asyncio.sleep(0.02)

    async def query(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask Postgres, on a connection of its own."""
        connection = await postgres.connect(
            self.database_url, application_name="ledger", timeout_seconds=10
        )
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *arguments)
            return rows
        finally:
            await connection.close()

    async def value(self, sql: str, *arguments: Any) -> Any:
        """The first value that Postgres answers."""
        return (await self.query(sql, *arguments))[0][0]

    async def value_or_none(self, sql: str, *arguments: Any) -> Any:
        """The same; None while Postgres is just being broken by the test."""
        try:
            return await self.value(sql, *arguments)
        except Exception as error:
            if not is_outage(error):
                raise
            return None

    async def scored(self) -> int:
        """How many applications have a score."""
        return int(await self.value("SELECT count(*) FROM results WHERE status = 'scored'"))

    async def until_scored(self, count: int, *, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until so many applications have a score."""

        async def look() -> bool:
            return await self.scored() >= count

        await until(look, within_seconds=within_seconds, what=f"{count} applications are scored")

    async def settle(self, *, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until all that was accepted is finished, and audit the books."""
        assert self.accepted, "nothing was accepted: the test would prove nothing"
        unfinished = await self._wait_for_the_end(within_seconds)
        rows = await self.query(_BOOKS)
        lost = self.accepted.keys() - {row["id"] for row in rows}
        assert not lost, f"lost: {len(lost)} of {len(self.accepted)} applications that got 202"
        assert not unfinished, f"unfinished: {unfinished} applications after {within_seconds} s"
        _audit(rows, self.fates)
        assert not self.flaws, f"not the contract's: {len(self.flaws)} refusals, {self.flaws[0]}"

    async def assert_nothing_is_half_done(
        self,
        unconfirmed: Collection[tuple[float, float]] = (),
        was_silent_on: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """What was refused has left nothing behind.

        ``unconfirmed``: from when to when Postgres was away; it may have committed what was under
        way, and said so to no one. ``was_silent_on``: whether Postgres had a payload and did not
        answer for so long that its client had to be refused.
        """
        known = [
            payload
            for payload, at in self.refused.items()
            if not any(since <= at <= until for since, until in unconfirmed)
        ]
        found = await self.query("SELECT payload FROM applications WHERE payload = ANY($1)", known)
        rows = [row for row in found if not was_silent_on(row["payload"])]
        ages = sorted(f"{time.monotonic() - self.refused[row['payload']]:.1f}" for row in rows)
        assert not rows, (
            f"half done: {len(rows)} applications were refused and are there, "
            f"refused {', '.join(ages)} s ago"
        )

    async def _wait_for_the_end(self, within_seconds: float) -> int:
        deadline = time.monotonic() + within_seconds
        while unfinished := await self._unfinished():
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
        return unfinished

    async def _unfinished(self) -> int:
        unfinished = await self.value_or_none(_UNFINISHED)
        return -1 if unfinished is None else int(unfinished)


def _audit(rows: list[asyncpg.Record], fates: Mapping[str, str]) -> None:
    """Each application has one end, written once: the right score, or the fate that it has."""
    doomed = [row for row in rows if row["payload"] in fates]
    for row in doomed:
        reason = row["reason"] or row["status"]
        assert reason.startswith(fates[row["payload"]]), f"another fate: {reason}"
        assert (row["scored"], row["other"]) == (0, 1), "a failure without exactly one entry"
    _audit_scores([row for row in rows if row["payload"] not in fates])


def _audit_scores(rows: list[asyncpg.Record]) -> None:
    twice = [row["id"] for row in rows if row["scored"] > 1]
    assert not twice, f"scored more than once: {len(twice)} applications"
    failed = [row["id"] for row in rows if row["status"] != "scored"]
    assert not failed, f"failed: {len(failed)} applications"
    unaudited = [row["id"] for row in rows if row["scored"] != 1 or row["other"]]
    assert not unaudited, f"audit: {len(unaudited)} applications without exactly one entry"
    wrong = [row["id"] for row in rows if row["score"] != score_of_payload(row["payload"])]
    assert not wrong, f"wrong score: {len(wrong)} applications"
