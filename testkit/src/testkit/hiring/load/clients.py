"""Clients of hiring's contract who do what people and companies do, and keep books of it.

Each operation is one call of ``/api`` with its answer. A client that was refused does not ask for
the same again, unless it does so with an idempotency key until it is answered: so the books tell
what must be there, what must not, and what may be.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import aiohttp

from testkit.clients.contract import flaw

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

NO_ANSWER = 0
"""What is counted where a status would be, when the connection broke."""

_REQUEST_TIMEOUT_SECONDS = 15.0
_REASON = "as the load has it"

WINDOW_SECONDS = 2
"""Of each offer: many are missed while the load goes on."""


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    body: Any
    seconds: float
    at: float
    """When it came, in monotonic seconds."""


@dataclass
class Books:
    """What clients were answered."""

    answers: Counter[int] = field(default_factory=Counter)
    flaws: list[str] = field(default_factory=list)
    """Refusals that are not as the contract has them, and answers that are none of its."""
    accepted: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Applications answered 201: the address and the opening."""
    insisted: dict[tuple[str, int], int] = field(default_factory=dict)
    """Of those, what was asked for with a key until it was answered."""
    refused: dict[tuple[str, int], float] = field(default_factory=dict)
    """Applications answered 503 and not asked for again: address and opening, and when."""
    waited: dict[str, float] = field(default_factory=dict)
    """For how long each of those waited for its 503."""
    withdrawn: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    slowest_seconds: float = 0.0


class Crowd:
    """So many clients of one or more ingests; an async context manager."""

    def __init__(self, *urls: str, seed: int = 0) -> None:
        """``urls``: of ingests, each asked as often as the others. ``seed``: draws what is done."""
        self.books = Books()
        self.openings: list[int] = []
        self._urls = urls
        self._chance = random.Random(seed)
        self._run = uuid4().hex[:8]
        self._people = 0
        self._actions: list[int] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=0),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def open(self, count: int) -> None:
        """Open so many openings: half of them ordered by score, one in four offers each place."""
        for number in range(count):
            reply = await self.call(
                "POST",
                "/jobs",
                {
                    "title": f"Opening {number}",
                    "capacity": 5,
                    "ackWindowSeconds": WINDOW_SECONDS,
                    "order": ("fifo", "score")[number % 2],
                    "confirm": ("promoted", "promoted", "promoted", "everyone")[number % 4],
                    "maxMisses": 3,
                },
            )
            assert reply.status == 201, reply
            self.openings.append(reply.body["id"])

    async def work(
        self, operations: int, *, clients: int = 200, beside: asyncio.Task[None] | None = None
    ) -> None:
        """Do so many operations, by clients side by side; and more while ``beside`` goes on."""
        left = operations

        async def client() -> None:
            nonlocal left
            while left > 0 or (beside is not None and not beside.done()):
                left -= 1
                await self._draw()(self._chance.choice(self.openings))

        await asyncio.gather(*(client() for _ in range(clients)))

    def _draw(self) -> Callable[[int], Awaitable[None]]:
        operations: Sequence[tuple[int, Callable[[int], Awaitable[None]]]] = (
            (40, self.apply),
            (8, self.insist),
            (22, self.acknowledge),
            (14, self.withdraw),
            (4, self.change_capacity),
            (6, self.act),
            (2, self.undo),
            (4, self.look),
        )
        weights, does = zip(*operations, strict=True)
        drawn: Callable[[int], Awaitable[None]] = self._chance.choices(does, weights)[0]
        return drawn

    def _person(self) -> dict[str, str]:
        self._people += 1
        number = f"{self._run}-{self._people}"
        return {"name": f"Person {number}", "email": f"{number}@example.org"}

    async def apply(self, opening: int) -> None:
        """Apply as a person who never applied before; some with a payload that is scored."""
        person = self._person()
        body: dict[str, Any] = {**person, "jobId": opening}
        if self._chance.random() < 0.2:
            body["payload"] = f"What {person['name']} can do"
        reply = await self.call("POST", "/apply-public", body)
        self._note(reply, person["email"], opening)
        if reply.status == 409 and reply.body["error"]["code"] == "DUPLICATE_SUBMISSION":
            self.books.flaws.append(f"{person['email']} applied once, and is a duplicate")

    async def insist(self, opening: int) -> None:
        """Apply with an idempotency key until there is an answer."""
        person = self._person()
        key = {"Idempotency-Key": person["email"]}
        for _ in range(200):
            reply = await self.call("POST", "/apply-public", person | {"jobId": opening}, key)
            if reply.status == 201:
                self.books.insisted[person["email"], opening] = reply.body["applicationId"]
            if reply.status not in {NO_ANSWER, 503}:
                break
            await asyncio.sleep(0.2)  # a client's pause
        self._note(reply, person["email"], opening)
        self.books.refused.pop((person["email"], opening), None)

    def _note(self, reply: Reply, email: str, opening: int) -> None:
        if reply.status == 201:
            self.books.accepted[reply.body["applicationId"]] = (email, opening)
        elif reply.status == 503:
            self.books.refused[email, opening] = reply.at
            self.books.waited[email] = reply.seconds

    async def acknowledge(self, opening: int) -> None:
        """Take an offer of an opening, if there is one."""
        path = f"/jobs/{opening}/entries?status=PENDING_ACKNOWLEDGMENT&limit=20"
        reply = await self.call("GET", path)
        if reply.status != 200 or not reply.body["entries"]:
            return
        offer = self._chance.choice(reply.body["entries"])["applicationId"]
        if (await self.call("POST", "/acknowledge", {"applicationId": offer})).status == 200:
            self.books.acknowledged.add(offer)

    async def withdraw(self, _: int) -> None:
        """Withdraw one of all applications, whatever became of it."""
        if self.books.accepted:
            one = self._chance.choice(list(self.books.accepted))
            if (await self.call("POST", "/withdraw", {"applicationId": one})).status == 200:
                self.books.withdrawn.add(one)

    async def change_capacity(self, opening: int) -> None:
        """Set the capacity."""
        await self.call("PATCH", f"/jobs/{opening}", {"capacity": self._chance.randint(1, 20)})

    async def act(self, opening: int) -> None:
        """Act by hand on a few of an opening's applications."""
        mine = [id_ for id_, (_, of) in self.books.accepted.items() if of == opening]
        if not mine:
            return
        action = self._chance.choice(("promote", "remove", "move", "reinstate"))
        chosen = self._chance.sample(mine, min(3, len(mine)))
        body: dict[str, Any] = {
            "action": action,
            "applicationIds": chosen,
            "reason": _REASON,
        }
        if action == "move":
            body["position"] = self._chance.randint(1, 10)
        reply = await self.call("POST", f"/jobs/{opening}/actions", body)
        if reply.status == 200:
            self._actions.append(reply.body["actionId"])

    async def undo(self, _: int) -> None:
        """Take an action back."""
        if self._actions:
            await self.call("POST", f"/actions/{self._chance.choice(self._actions)}/undo")

    async def look(self, opening: int) -> None:
        """Read an opening, its summary, or its past."""
        path = self._chance.choice(
            (
                f"/jobs/{opening}",
                f"/queue/{opening}",
                f"/pipeline/{opening}/summary",
                f"/pipeline/{opening}/replay?limit=20",
            )
        )
        await self.call("GET", path)

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Call the API, and note the answer."""
        assert self._session is not None
        began = time.monotonic()
        url = f"{self._chance.choice(self._urls)}/api{path}"
        try:
            async with self._session.request(method, url, json=body, headers=headers) as answer:
                text = await answer.read()
                content = await answer.json() if text else None
                self._judge(answer.status, answer.headers, text, f"{method} {path}")
                reply = _reply(answer.status, content, began)
        except (aiohttp.ClientError, OSError, TimeoutError):
            reply = _reply(NO_ANSWER, None, began)
        self.books.answers[reply.status] += 1
        if reply.status != NO_ANSWER:
            self.books.slowest_seconds = max(self.books.slowest_seconds, reply.seconds)
        return reply

    def _judge(self, status: int, headers: Any, text: bytes, what: str) -> None:
        if wrong := flaw(status, headers, text):
            self.books.flaws.append(f"{what}: {wrong}")
        elif status not in _CONTRACT:
            self.books.flaws.append(f"{what}: {status} {text[:300]!r}")


_CONTRACT = {200, 201, 404, 409, 410, 503}
"""What may be answered to a client that makes no mistake."""


def _reply(status: int, body: Any, began: float) -> Reply:
    now = time.monotonic()
    return Reply(status, body, now - began, now)
