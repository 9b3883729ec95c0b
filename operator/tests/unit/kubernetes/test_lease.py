"""At most one acts, whichever is slow, cut off, paused or killed: two clients of one API server."""

from __future__ import annotations

import asyncio
import heapq
import random
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from shortlist_operator.kubernetes import kube as operators_kube
from shortlist_operator.kubernetes.lease import (
    DURATION_SECONDS,
    RENEW_SECONDS,
    SAFETY_SECONDS,
    OperatorLease,
)
from testkit.operator.api_server import ApiServer, Call, hang, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aiohttp import web

    from shortlist_operator.kubernetes.kube import Kube

PATH = "/apis/coordination.k8s.io/v1/namespaces/prod/leases/operator"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def at(self, rate: float) -> Callable[[], float]:
        """A clock that runs slower or faster."""
        return lambda: self.now * rate


@dataclass
class Two:
    """Two operators of one namespace."""

    server: ApiServer
    clock: Clock
    one: OperatorLease
    other: OperatorLease

    def cut_off(self, caller: str) -> None:
        """From now on its calls are answered 500."""

        async def refuse(call: Call) -> web.StreamResponse | None:
            return refusal(500, "etcd is slow") if call.caller == caller else None

        self.server.arriving = refuse


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    clock = Clock()
    async with ApiServer() as server, server.kube("one") as a, server.kube("other") as b:
        yield Two(server, clock, lease(a, "one", clock), lease(b, "other", clock))


def lease(kube: Kube, identity: str, clock: Callable[[], float]) -> OperatorLease:
    return OperatorLease(kube, "prod", identity, "operator", clock)


async def test_the_first_to_ask_acts_and_the_other_waits(two: Two) -> None:
    assert not two.one.held
    await two.one.keep()
    await two.other.keep()
    assert (two.one.held, two.other.held) == (True, False)


async def test_it_is_one_who_makes_it_when_both_see_that_there_is_none(two: Two) -> None:
    await asyncio.gather(two.one.keep(), two.other.keep())
    assert two.one.held != two.other.held


async def test_who_gives_up_lets_the_other_act_at_once(two: Two) -> None:
    await two.one.keep()
    await two.one.give_up()
    await two.other.keep()
    assert (two.one.held, two.other.held) == (False, True)
    assert two.server.objects[PATH]["spec"]["leaseTransitions"] == 1


async def test_who_holds_nothing_gives_up_nothing(two: Two) -> None:
    await two.one.keep()
    await two.other.give_up()
    await two.other.keep()
    assert (two.one.held, two.other.held) == (True, False)


async def test_who_took_it_without_hearing_so_gives_it_up_too(two: Two) -> None:
    async def lose(call: Call) -> web.StreamResponse | None:
        return refusal(504, "lost") if call.method == "POST" else None

    two.server.answering = lose
    await two.one.keep()
    assert not two.one.held
    await two.one.give_up()
    await two.other.keep()
    assert two.other.held


async def test_a_holder_that_renews_is_never_replaced(two: Two) -> None:
    for _ in range(20):
        await two.one.keep()
        await two.other.keep()
        two.clock.now += RENEW_SECONDS
        assert (two.one.held, two.other.held) == (True, False)
    assert two.server.objects[PATH]["spec"]["leaseTransitions"] == 0


async def test_the_other_acts_a_duration_after_the_last_renewal_that_it_saw(two: Two) -> None:
    await two.one.keep()
    await two.other.keep()
    while not two.other.held:
        two.clock.now += RENEW_SECONDS
        await two.other.keep()
    assert DURATION_SECONDS < two.clock.now <= DURATION_SECONDS + RENEW_SECONDS


async def test_who_was_paused_past_its_time_acts_no_more(two: Two) -> None:
    await two.one.keep()
    await two.other.keep()
    two.clock.now += DURATION_SECONDS + 0.1
    assert not two.one.held  # before it asked the API server
    await two.other.keep()
    await two.one.keep()
    assert (two.one.held, two.other.held) == (False, True)


async def test_who_is_refused_stops_before_the_other_begins(two: Two) -> None:
    await two.one.keep()
    await two.other.keep()
    two.cut_off("one")
    while not two.other.held:
        two.clock.now += 0.5
        await two.one.keep()
        await two.other.keep()
        assert two.one.held == (two.clock.now < DURATION_SECONDS - SAFETY_SECONDS)
    assert not two.one.held


async def test_who_is_not_answered_stops_as_well(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    await two.one.keep()
    monkeypatch.setattr(operators_kube, "TIMEOUT_SECONDS", 0.1)
    two.server.arriving = hang
    await two.one.keep()
    assert two.one.held  # what was held runs out by itself
    two.clock.now += DURATION_SECONDS - SAFETY_SECONDS
    assert not two.one.held


async def test_a_late_answer_does_not_make_a_renewal_look_old(two: Two) -> None:
    """The other's look takes 4.9 s, and what it sees was renewed meanwhile."""
    await two.one.keep()

    async def renewed_meanwhile(call: Call) -> None:
        if call.caller == "other" and call.method == "GET":
            two.server.arriving = nothing
            two.clock.now += 4.9
            await two.one.keep()

    async def nothing(_: Call) -> None: ...

    two.server.arriving = renewed_meanwhile
    await two.other.keep()
    two.clock.now += DURATION_SECONDS - 4.9 + 0.2
    await two.other.keep()
    assert not (two.one.held and two.other.held)


async def test_it_is_held_from_when_it_was_asked_for_not_from_when_that_was_answered(
    two: Two,
) -> None:
    async def late(_: Call) -> None:
        two.clock.now += 2.0

    two.server.answering = late
    await two.one.keep()
    two.clock.now = DURATION_SECONDS - SAFETY_SECONDS - 0.1
    assert two.one.held
    two.clock.now += 0.1
    assert not two.one.held


async def test_a_lease_that_somebody_made_by_hand_is_taken(two: Two) -> None:
    two.server.keep(PATH, {"metadata": {"name": "operator"}})
    await two.one.keep()
    assert two.one.held


# --- in any order, with any delays

PLAYS = 25
Fault = str | None


@dataclass(frozen=True)
class Round:
    """One try to keep it: when, and what becomes of its two calls on their ways."""

    pause_seconds: float
    delays: tuple[float, ...]
    """Before and after the look has its effect, before and after the write has."""
    fault: Fault
    """The call that is refused without an effect, or answered so after it."""


def some_rounds(chance: random.Random) -> list[Round]:
    """Mostly in time; now and then slow, refused, or away for about as long as it is held."""
    return [
        Round(
            pause_seconds=chance.choice([RENEW_SECONDS] * 3 + [chance.uniform(5, 14)]),
            delays=tuple(chance.choice([0.0, 0.0, 0.0, chance.uniform(0, 4.9)]) for _ in range(4)),
            fault=chance.choice([None] * 6 + ["refused", "lost"]),
        )
        for _ in range(15)
    ]


@dataclass
class Play:
    """Rounds of several operators in simulated time: whatever waits, waits in one queue."""

    server: ApiServer
    clock: Clock = field(default_factory=Clock)
    queue: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)
    rounds: dict[str, Round] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    async def wait(self, seconds: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.queue, (self.clock.now + seconds, next(self.numbers), turn))
        await turn

    async def arriving(self, call: Call) -> web.StreamResponse | None:
        now = self.rounds[call.caller]
        await self.wait(now.delays[0 if call.method == "GET" else 2])
        return refusal(500, "refused") if now.fault == "refused" else None

    async def answering(self, call: Call) -> web.StreamResponse | None:
        now = self.rounds[call.caller]
        await self.wait(now.delays[1 if call.method == "GET" else 3])
        return refusal(500, "lost") if now.fault == "lost" and call.method != "GET" else None

    async def live(self, caller: str, holder: OperatorLease, rounds: list[Round]) -> None:
        for each in rounds:
            self.rounds[caller] = each
            await holder.keep()
            await self.wait(each.pause_seconds)

    async def run(self, holders: dict[str, OperatorLease], rounds: dict[str, list[Round]]) -> None:
        lives = [
            asyncio.create_task(self.live(caller, holder, rounds[caller]))
            for caller, holder in holders.items()
        ]
        while unfinished := [life for life in lives if not life.done()]:
            if len(self.queue) < len(unfinished):
                await asyncio.sleep(0)  # a client is between two waits
                continue
            acting = [caller for caller, holder in holders.items() if holder.held]
            assert len(acting) <= 1, f"{acting} at {self.clock.now}"
            at, _, turn = heapq.heappop(self.queue)
            self.clock.now = max(self.clock.now, at)
            turn.set_result(None)
            await asyncio.sleep(0)
        for life in lives:
            life.result()


class Stage:
    """One loop, one server and two clients for all plays."""

    def __init__(self, runner: asyncio.Runner, server: ApiServer, kubes: dict[str, Any]) -> None:
        self.runner = runner
        self.server = server
        self.kubes = kubes


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        server = runner.run(ApiServer().__aenter__())
        clients = {name: server.kube(name) for name in ("one", "other")}
        kubes = {name: runner.run(made.__aenter__()) for name, made in clients.items()}
        yield Stage(runner, server, kubes)
        for made in clients.values():
            runner.run(made.__aexit__(None, None, None))
        runner.run(server.__aexit__(None, None, None))


@pytest.mark.parametrize("seed", range(PLAYS))
def test_two_never_act_at_once(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)
    play = Play(stage.server)
    stage.server.objects.clear()
    stage.server.arriving, stage.server.answering = play.arriving, play.answering
    holders = {
        name: lease(kube, name, play.clock.at(chance.choice([0.9, 1.0, 1.1])))
        for name, kube in stage.kubes.items()
    }
    rounds = {name: some_rounds(chance) for name in holders}
    stage.runner.run(play.run(holders, rounds))
