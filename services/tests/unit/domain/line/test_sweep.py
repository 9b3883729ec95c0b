from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shortlist.domain.line.application import ApplicationId, WorkerId, lowest_id_at
from shortlist.domain.line.sweep import (
    GRACE_SECONDS,
    NOTHING,
    SLACK_SECONDS,
    Front,
    Judgement,
    Position,
    Seen,
    Stream,
    SweepMemory,
    Urgency,
    Waiting,
    judge,
    shifted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

START_MILLISECONDS = 1_800_000_000_000


def made_at(seconds: float, number: int = 0) -> ApplicationId:
    """An id made so many seconds after the start."""
    lowest = lowest_id_at(START_MILLISECONDS + int(seconds * 1000))
    return ApplicationId(UUID(int=lowest.int + number))


def seen(**overrides: object) -> Seen:
    facts: dict[str, object] = {"id": made_at(0), "attempt": 0, "held": False, "scheduled": False}
    return Seen(**{**facts, **overrides})  # type: ignore[arg-type]


def judged(
    one: Seen,
    *,
    front: Front = Front(made_at(100)),  # noqa: B008 (immutable)
    urgent: bool = False,
    suspected_seconds: float | None = None,
    late: bool = False,
) -> Judgement:
    return judge(one, front=front, urgent=urgent, suspected_seconds=suspected_seconds, late=late)


LONG_SUSPECTED = GRACE_SECONDS


@pytest.mark.parametrize("urgent", [False, True])
@pytest.mark.parametrize("attempt", [0, 3])
@pytest.mark.parametrize("reason", ["held", "scheduled"])
def test_what_is_held_or_scheduled_is_never_touched(
    reason: str, attempt: int, *, urgent: bool
) -> None:
    one = seen(attempt=attempt, abandoned=99, **{reason: True})
    assert judged(one, urgent=urgent, suspected_seconds=LONG_SUSPECTED) == "fine"


@pytest.mark.parametrize("urgent", [False, True])
def test_after_postgres_was_away_what_a_worker_left_open_may_still_be_held(*, urgent: bool) -> None:
    one = seen(attempt=1, open=True)
    assert judged(one, urgent=urgent, suspected_seconds=LONG_SUSPECTED, late=True) == "fine"
    assert judged(one, urgent=urgent, suspected_seconds=LONG_SUSPECTED) == "lost"


@pytest.mark.parametrize(
    "facts",
    [
        {"attempt": 1, "open": True, "known": False},
        {"attempt": 1, "open": True, "let_go": True},
        {"attempt": 1},
        {"attempt": 0},
    ],
)
def test_after_postgres_was_away_what_no_worker_can_hold_is_lost_as_ever(
    facts: dict[str, object],
) -> None:
    assert judged(seen(**facts), suspected_seconds=LONG_SUSPECTED, late=True) == "lost"


def test_a_newcomer_behind_the_front_waits_its_turn() -> None:
    one = seen(id=made_at(100))
    assert judged(one, suspected_seconds=LONG_SUSPECTED) == "fine"


def test_a_newcomer_that_the_front_has_passed_is_a_suspect_and_then_lost() -> None:
    one = seen(id=made_at(100 - SLACK_SECONDS - 0.1))
    assert judged(one) == "suspect"
    assert judged(one, suspected_seconds=LONG_SUSPECTED - 0.1) == "suspect"
    assert judged(one, suspected_seconds=LONG_SUSPECTED) == "lost"


def test_a_newcomer_is_missing_from_an_empty_line_however_new_it_is() -> None:
    one = seen(id=made_at(100))
    assert judged(one, front=Front(made_at(50), empty=True)) == "suspect"


def test_an_attempt_that_nobody_holds_is_a_suspect_wherever_the_front_is() -> None:
    assert judged(seen(attempt=1, id=made_at(500))) == "suspect"
    assert judged(seen(attempt=1, id=made_at(500)), suspected_seconds=LONG_SUSPECTED) == "lost"


def test_there_is_no_grace_when_its_holder_is_known_to_be_dead() -> None:
    assert judged(seen(attempt=1), urgent=True) == "lost"
    assert judged(seen(attempt=0, id=made_at(500)), urgent=True) == "lost"


def test_an_application_that_kills_its_workers_when_they_are_alone_is_given_up() -> None:
    one = seen(attempt=4, abandoned=4, alone=2, others_end=True)
    assert judged(one, urgent=True) == "poisoned"
    assert judged(replace(one, alone=1), urgent=True) == "lost"
    assert judged(replace(one, others_end=False), urgent=True) == "lost"


def test_what_was_abandoned_in_company_is_lost_and_never_poisoned() -> None:
    assert judged(seen(attempt=99, abandoned=99, others_end=True), urgent=True) == "lost"


@pytest.mark.parametrize(
    ("one", "covered"),
    [
        (seen(attempt=1, open=True, known=False), True),
        (seen(attempt=1, open=True, known=True, worker_id=WorkerId(UUID(int=1))), True),
        (seen(attempt=1, open=True, known=True, worker_id=WorkerId(UUID(int=2))), False),
        (seen(attempt=1, open=False, known=False, worker_id=WorkerId(UUID(int=1))), False),
        (seen(attempt=1, open=True, let_go=True, worker_id=WorkerId(UUID(int=2))), True),
        (seen(id=made_at(7)), True),
        (seen(id=made_at(8)), False),
    ],
)
def test_urgent_is_what_the_dead_held_or_were_given_and_the_living_let_go_of(
    one: Seen, *, covered: bool
) -> None:
    urgency = Urgency(ids={made_at(7)}, dead={WorkerId(UUID(int=1))})
    assert urgency.covers(one) is covered


def test_the_front_never_goes_back() -> None:
    front = Front().advanced(newest=made_at(9), head=None)
    assert front == Front(made_at(9), empty=True)
    older = Waiting((1, 0), made_at(5), None)
    assert front.advanced(newest=made_at(10), head=older) == Front(made_at(9))


def test_what_was_put_back_says_nothing_about_newcomers() -> None:
    front = Front(made_at(9)).advanced(
        newest=made_at(99), head=Waiting((1, 0), made_at(50), "sweep")
    )
    assert front == Front(made_at(9), empty=False)


def test_what_is_published_and_waits_is_not_judged() -> None:
    memory = SweepMemory()
    memory.front = Front(made_at(100))
    memory.watch([made_at(1)])
    memory.published("line", [((5, 0), made_at(1))])
    assert memory.watched() == []
    verdicts = memory.decide([], [seen(id=made_at(1))], now=0, urgency=Urgency(everything=True))
    assert verdicts.lost == []
    memory.delivered("line", (5, 0))
    assert memory.watched() == []
    memory.delivered("line", (5, 1))
    assert memory.watched() == [made_at(1)]


def test_what_was_just_put_back_is_on_its_way_and_has_a_grace_again() -> None:
    memory, urgency = SweepMemory(), Urgency(everything=True)
    one = seen(attempt=1)
    memory.watch([one.id])
    for now, lost in [(0.0, True), (0.5, False), (0.9, False), (1.0, True)]:
        verdicts = memory.decide([one.id], [one], now=now, urgency=urgency)
        assert bool(verdicts.lost) is lost
        if now == 0.0:
            memory.put_back([one], now)


def test_workers_that_die_one_after_the_other_are_each_urgent() -> None:
    first, second = WorkerId(uuid4()), WorkerId(uuid4())
    memory = SweepMemory()
    one = seen(attempt=1, worker_id=first, open=True)
    memory.put_back([one], 0.0)
    again = replace(one, attempt=2, worker_id=second)  # the entry that was put back was taken
    urgency = Urgency(dead=[second])
    assert memory.decide([one.id], [again], now=0.3, urgency=urgency).lost


def test_what_was_delivered_to_a_dead_worker_is_urgent_though_it_was_just_put_back() -> None:
    memory = SweepMemory()
    one = seen(attempt=1)
    memory.put_back([one], 0.0)
    urgency = Urgency(ids=[one.id])
    assert memory.decide([one.id], [one], now=0.3, urgency=urgency).lost


def test_what_could_not_be_put_back_is_lost_again_at_the_next_look() -> None:
    memory = SweepMemory()
    one = seen(attempt=1)
    memory.watch([one.id])
    for now, lost in [(0.0, False), (1.0, True), (1.1, True)]:
        assert bool(memory.decide([one.id], [one], now=now).lost) is lost


def test_the_mark_is_below_everything_that_is_unfinished() -> None:
    memory = SweepMemory()
    memory.scanned(made_at(100))
    assert made_at(80) < memory.mark() < made_at(100)
    memory.published("again", [((5, 0), made_at(2)), ((6, 0), made_at(3))])
    memory.watch([made_at(1)])
    assert memory.mark().int == made_at(1).int - 1
    memory.decide([made_at(1)], [], now=0)
    assert memory.mark().int == made_at(2).int - 1


@dataclass
class Row:
    """An application in the model's Postgres."""

    attempts: list[WorkerId] = field(default_factory=list)
    open: bool = False
    finished: bool = False
    retry_due: float | None = None


@dataclass(frozen=True)
class Record:
    """An entry of the model's streams."""

    position: Position
    id: ApplicationId
    by: str | None


@dataclass
class Worker:
    given: list[tuple[Stream, Record]] = field(default_factory=list)
    claimed: set[ApplicationId] = field(default_factory=set)


class World(RuleBasedStateMachine):
    """Ingest, workers, retries, a sweep, and everything that can go wrong between them.

    What must hold: nothing is finished twice; nothing is published while an entry of it waits or
    a worker holds it; and when things calm down everything is finished.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.numbers = count(1)
        self.rows: dict[ApplicationId, Row] = {}
        self.waiting: dict[Stream, list[Record]] = {"again": [], "line": []}
        self.workers: dict[WorkerId, Worker] = {}
        self.known: set[WorkerId] = set()
        self.dead: set[WorkerId] = set()
        self.memory = SweepMemory()
        self.again_read: set[Position] = set()
        self.line_is_known = True
        self.mark = NOTHING

    # --- what happens

    @rule(published=st.booleans(), seconds=st.floats(0, 3))
    def accept(self, seconds: float, *, published: bool) -> None:
        self.now += seconds
        new = made_at(self.now, next(self.numbers))
        self.rows[new] = Row()
        if published:
            self.publish("line", new, None)

    @rule()
    def start_worker(self) -> None:
        worker = WorkerId(UUID(int=next(self.numbers)))
        self.workers[worker] = Worker()
        self.known.add(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), many=st.integers(1, 3))
    def pull_and_claim(self, data: st.DataObject, many: int) -> None:
        worker = data.draw(st.sampled_from(sorted(self.workers)))
        for _ in range(many):
            self.pull(worker)
        self.claim_all(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def pull_and_die(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.workers)))
        self.pull(worker)
        self.die(worker)

    @precondition(lambda self: any(w.claimed for w in self.workers.values()))
    @rule(data=st.data(), how=st.sampled_from(["finish", "retry", "give back", "give back, lost"]))
    def end_one(self, data: st.DataObject, how: str) -> None:
        busy = sorted(w for w, worker in self.workers.items() if worker.claimed)
        worker = self.workers[data.draw(st.sampled_from(busy))]
        one = data.draw(st.sampled_from(sorted(worker.claimed)))
        worker.claimed.discard(one)
        worker.given = [(s, r) for s, r in worker.given if r.id != one]
        row = self.rows[one]
        row.open = False
        if how == "finish":
            row.finished = True
        elif how == "retry":
            row.retry_due = self.now + 1
        elif how == "give back":
            self.publish("again", one, "drain")

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.die(data.draw(st.sampled_from(sorted(self.workers))))

    @rule(seconds=st.floats(0.1, 8))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def publish_retries(self) -> None:
        due = [i for i, r in self.rows.items() if r.retry_due and r.retry_due <= self.now]
        for one in due:
            self.rows[one].retry_due = None
            self.publish("again", one, "retry")
        self.memory.watch(due)

    @rule()
    def sweep(self) -> None:
        self.look()
        self.mark = self.memory.mark()

    @rule()
    def rescue(self) -> None:
        """What ``dead_workers`` does: sweep for the dead, then forget them."""
        given = {r.id for w in self.dead for _, r in self.given_to_dead.get(w, [])}
        self.look(Urgency(ids=given, dead=frozenset(self.dead)))
        self.known -= self.dead
        self.dead.clear()

    @rule()
    def change_leader(self) -> None:
        self.memory, self.again_read = SweepMemory(self.mark), set()
        self.line_is_known = False

    @rule(accepted_since=st.booleans())
    def redis_forgets(self, *, accepted_since: bool) -> None:
        self.waiting = {"again": [], "line": []}
        for worker in self.workers.values():
            worker.given = []
        self.given_to_dead = {}
        if accepted_since:
            self.accept(0.01, published=True)
        self.memory, self.again_read = SweepMemory(self.memory.mark()), set()
        self.look(Urgency(everything=True))
        lost = {i for i, r in self.rows.items() if not r.finished and r.retry_due is None}
        assert lost == {i for i in lost if self.held(i)} | self.in_line() & lost

    # --- how

    given_to_dead: dict[WorkerId, list[tuple[Stream, Record]]]

    def publish(self, stream: Stream, one: ApplicationId, by: str | None) -> Position:
        record = Record((int(self.now * 1000), next(self.numbers)), one, by)
        self.waiting[stream].append(record)
        return record.position

    def pull(self, worker: WorkerId) -> None:
        stream: Stream = "again" if self.waiting["again"] else "line"
        if self.waiting[stream]:
            self.workers[worker].given.append((stream, self.waiting[stream].pop(0)))

    def claim_all(self, worker: WorkerId) -> None:
        kept = []
        for stream, record in self.workers[worker].given:
            row = self.rows[record.id]
            if record.id in self.workers[worker].claimed:
                kept.append((stream, record))
            elif not row.finished and not self.held(record.id) and row.retry_due is None:
                row.attempts.append(worker)
                row.open = True
                self.workers[worker].claimed.add(record.id)
                kept.append((stream, record))
        self.workers[worker].given = kept

    def die(self, worker: WorkerId) -> None:
        self.given_to_dead = getattr(self, "given_to_dead", {})
        self.given_to_dead[worker] = self.workers.pop(worker).given
        self.dead.add(worker)

    def held(self, one: ApplicationId) -> bool:
        return any(one in worker.claimed for worker in self.workers.values())

    def see(self, ids: Iterable[ApplicationId]) -> list[Seen]:
        return [
            Seen(
                id=one,
                attempt=len(row.attempts),
                held=self.held(one),
                scheduled=row.retry_due is not None,
                worker_id=row.attempts[-1] if row.attempts else None,
                open=row.open,
                known=not row.attempts or row.attempts[-1] in self.known,
            )
            for one in ids
            if not (row := self.rows[one]).finished
        ]

    def look(self, urgency: Urgency = Urgency()) -> None:  # noqa: B008 (immutable)
        """The steps of ``maintenance/agents/sweep.py``."""
        self.given_to_dead = getattr(self, "given_to_dead", {})
        memory, everything = self.memory, urgency.everything
        newest = max(self.rows, default=NOTHING)
        for record in self.waiting["again"]:
            if record.position not in self.again_read:
                memory.published("again", [(record.position, record.id)])
                self.again_read.add(record.position)
        line = self.waiting["line"]
        head = Waiting(line[0].position, line[0].id, line[0].by) if line else None
        memory.front = memory.front.advanced(newest=newest, head=head)
        if everything or memory.front.id == NOTHING:
            self.read_line(newest, everything=everything)
        memory.delivered("again", next((r.position for r in self.waiting["again"]), None))
        memory.delivered("line", next((r.position for r in line), None))
        self.examine(sorted({*memory.watched(), *urgency.ids}), newest, urgency)
        after, front = memory.low_water, memory.front
        scanned = sorted(i for i in self.rows if after < i <= front.reached)
        unfinished = [
            i
            for i in scanned
            if not self.rows[i].finished
            and (everything or i <= front.passed or self.rows[i].attempts)
        ]
        self.examine(memory.unknown(unfinished), newest, urgency)
        if scanned:
            memory.scanned(scanned[-1])

    def read_line(self, newest: UUID, *, everything: bool) -> None:
        line = self.waiting["line"]
        for record in line:
            if record.by is not None or everything:
                self.memory.published("line", [(record.position, record.id)])
        newcomer = next((r.id for r in line if r.by is None), newest)
        front = newest if everything else newcomer
        self.memory.front = Front(max(self.memory.front.id, front), empty=not line)
        self.line_is_known = True

    def examine(self, ids: list[ApplicationId], newest: UUID, urgency: Urgency) -> None:
        verdicts = self.memory.decide(ids, self.see(ids), now=self.now, urgency=urgency)
        for one in verdicts.lost:
            if not one.attempt and not self.line_is_known:
                self.read_line(newest, everything=False)
            if not one.attempt and self.memory.waits(one.id):
                continue
            assert not self.held(one.id), "a worker holds it"
            assert one.id not in self.in_line(), "it waits already"
            stream: Stream = "again" if one.attempt or one.id in urgency.ids else "line"
            position = self.publish(stream, one.id, "sweep")
            self.memory.put_back([one], self.now)
            if stream == "line":
                self.memory.published("line", [(position, one.id)])

    def in_line(self) -> set[ApplicationId]:
        return {r.id for records in self.waiting.values() for r in records}

    # --- what must hold

    @invariant()
    def nothing_is_claimed_twice(self) -> None:
        claimed = [one for worker in self.workers.values() for one in worker.claimed]
        assert len(claimed) == len(set(claimed))

    @invariant()
    def the_mark_forgets_nobody(self) -> None:
        lowest = min((i for i, r in self.rows.items() if not r.finished), default=None)
        if lowest is not None and lowest <= self.memory.low_water:
            known = {*self.memory.watched()}
            assert lowest in known or self.memory.waits(lowest)

    def teardown(self) -> None:
        """Things calm down: one worker lives, and maintenance goes round."""
        for worker in list(self.workers):
            self.die(worker)
        self.start_worker()
        (worker,) = self.workers
        for _ in range(30):
            self.publish_retries()
            self.rescue()
            self.now += GRACE_SECONDS
            self.look()
            while self.in_line():
                self.pull(worker)
                self.claim_all(worker)
                for one in self.workers[worker].claimed:
                    self.rows[one].finished, self.rows[one].open = True, False
                self.workers[worker] = Worker()
            if all(row.finished for row in self.rows.values()):
                return
        unfinished = [i for i, row in self.rows.items() if not row.finished]
        raise AssertionError(f"never found: {unfinished}")


World.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_nothing_is_lost_and_nothing_waits_twice = World.TestCase


def test_an_id_is_shifted_by_the_time_in_it() -> None:
    assert made_at(4.9, 1) < shifted(made_at(4, 99), 1.0) <= made_at(5)
