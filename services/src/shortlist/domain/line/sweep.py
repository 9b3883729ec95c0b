"""What is lost, and what is only on its way: the decisions of maintenance's sweep.

An application is lost when it is unfinished and nothing will ever bring it to a worker. No process
records a loss; it is what remains when everything else has been ruled out:

- held: a live worker may still write for it (an attempt that a live worker left open and does not
  list among what it holds is none);
- scheduled: a retry brings it back by itself;
- waiting: an entry of it is on one of the two streams, not yet delivered to a worker;
- newer than the front: no worker has claimed it, and the line has not come to its kind yet;
- too fresh to tell: it was given to a live worker that has not claimed it yet, or given back by
  one that has not put it in the line yet. Those are suspects; one that stays a suspect is lost.

Ids are UUIDv7: their order is, to `SLACK_SECONDS`, the order in which they entered the line.
Nothing here reads a clock; ``now`` is any clock that never goes back.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from shortlist.domain.line.application import ApplicationId, WorkerId, lowest_id_at, milliseconds_of
from shortlist.domain.line.suspicion import is_convicted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

SLACK_SECONDS = 5.0
"""How far the order of ids and that of the line may differ. An id is made when a request has
arrived; its commit may take 1.5 s, and clocks of hosts differ a little."""

LATE_SECONDS = 2 * SLACK_SECONDS
"""How much is scanned anew each time: newcomers that the front had not passed, and rows that were
committed later than newer ones. What is later still, the patrol finds."""

GRACE_SECONDS = 1.0
"""How long a suspect stays one before it is lost: many times what a worker takes from a delivery
to the claim, or from giving back to the line."""

NOTHING = UUID(int=0)
EVERYTHING = UUID(int=2**128 - 1)

Position = tuple[int, int]
"""Where an entry stands in its stream: Redis's milliseconds, and a number within them."""

Stream = Literal["again", "line"]
Judgement = Literal["fine", "suspect", "lost", "poisoned"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry that no consumer was given yet."""

    position: Position
    application_id: ApplicationId
    published_by: str | None
    """The process that put it back; None for a newcomer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at Postgres says about one unfinished application."""

    id: ApplicationId
    attempt: int
    """The latest; 0 while no worker has claimed it."""
    held: bool
    scheduled: bool
    worker_id: WorkerId | None = None
    """The worker that made the latest attempt."""
    open: bool = False
    """The latest attempt was neither finished nor ended."""
    let_go: bool = False
    """It is open, and its worker lives and says that it does not hold it."""
    known: bool = True
    """Its worker is registered, so that it may live."""
    abandoned: int = 0
    """Attempts that are open or were left open, since it was last requeued or ended in an error."""
    alone: int = 0
    """Those of them whose worker held nothing else."""
    others_end: bool = False
    """Another application was scored meanwhile; looked up where it matters."""
    traceparent: str | None = None

    @property
    def may_be_held(self) -> bool:
        """Whether its worker may live, though Postgres does not know it."""
        return self.open and self.known and not self.let_go


@dataclass(frozen=True, slots=True)
class Urgency:
    """For which there is no grace: their workers are known to be dead, or Redis forgot them."""

    everything: bool = False
    ids: Collection[ApplicationId] = ()
    dead: Collection[WorkerId] = ()

    def covers(self, seen: Seen) -> bool:
        """Tell whether this one need not be suspected first."""
        orphaned = seen.let_go or (seen.open and (not seen.known or seen.worker_id in self.dead))
        return self.everything or orphaned or seen.id in self.ids


NOT_URGENT = Urgency()


@dataclass(frozen=True, slots=True)
class Front:
    """How far the line has come."""

    id: UUID = NOTHING
    """The newest newcomer that can have been delivered to a worker; never goes back."""
    empty: bool = False
    """Nothing waits: one that should be in the line and is not claimed is missing from it."""

    def advanced(self, *, newest: UUID, head: Waiting | None) -> Front:
        """Advance after a look at the newest application, and then at the head of ``line``."""
        if head is None:
            return Front(max(self.id, newest), empty=True)
        if head.published_by is None:
            return Front(max(self.id, head.application_id), empty=False)
        return Front(self.id, empty=False)  # what was put back says nothing about newcomers

    def has_passed(self, application_id: ApplicationId) -> bool:
        """Tell whether a newcomer should have been delivered to a worker by now."""
        return application_id < self.passed

    @property
    def passed(self) -> UUID:
        """Newcomers below it should have been delivered to a worker by now."""
        return EVERYTHING if self.empty else shifted(self.id, -SLACK_SECONDS)

    @property
    def reached(self) -> UUID:
        """Nothing above it has been delivered to a worker."""
        return shifted(self.id, SLACK_SECONDS)


def shifted(an_id: UUID, seconds: float) -> UUID:
    """Return the lowest id that could have been made so much later (or earlier) than another."""
    return lowest_id_at(milliseconds_of(an_id) + int(seconds * 1000))


def judge(
    seen: Seen,
    *,
    front: Front,
    urgent: bool,
    suspected_seconds: float | None,
    late: bool = False,
) -> Judgement:
    """Decide about one unfinished application of which no entry is known to wait.

    Args:
        seen: what Postgres says.
        front: how far the line has come.
        urgent: whether there is no grace.
        suspected_seconds: for how long it has been a suspect; None: not before.
        late: whether workers that live may not have said so yet, as Postgres was away.
    """
    if seen.held or seen.scheduled or (late and seen.may_be_held):
        return "fine"
    if seen.attempt == 0 and not urgent and not front.has_passed(seen.id):
        return "fine"
    if not urgent and (suspected_seconds is None or suspected_seconds < GRACE_SECONDS):
        return "suspect"
    poisoned = is_convicted(abandoned=seen.abandoned, alone=seen.alone, others_end=seen.others_end)
    return "poisoned" if poisoned else "lost"


@dataclass(slots=True)
class _Watched:
    suspected_since: float | None = None
    put_back_at: float | None = None
    put_back_after: int = 0
    """The latest attempt when it was put back; a later one took the entry that was put then."""


@dataclass(slots=True)
class Verdicts:
    """What to do after a look."""

    lost: list[Seen] = field(default_factory=list)
    poisoned: list[Seen] = field(default_factory=list)


class SweepMemory:
    """What a leader remembers of one pipeline between two looks.

    It only saves work and doubles: a new leader starts without it, from a mark.
    """

    def __init__(self, mark: UUID = NOTHING) -> None:
        """``mark``: a former leader's `mark`; everything up to it was finished."""
        self.low_water = mark
        """Up to it everything is finished, or `_watched`, or `_waiting`."""
        self.front = Front()
        self._watched: dict[ApplicationId, _Watched] = {}
        self._waiting: dict[Stream, deque[tuple[Position, ApplicationId]]] = {
            "again": deque(),
            "line": deque(),
        }
        self._entries: Counter[ApplicationId] = Counter()  # of `_waiting`

    def mark(self) -> UUID:
        """Up to it everything is finished, as far as is known."""
        unfinished = min([*self._watched, *self._entries], default=None)
        if unfinished is None:
            return self.low_water
        return min(self.low_water, UUID(int=unfinished.int - 1))

    def waits(self, application_id: ApplicationId) -> bool:
        """Tell whether an entry of it is known to wait."""
        return application_id in self._entries

    def watch(self, ids: Iterable[ApplicationId]) -> None:
        """Watch these each time, from now on until they are finished."""
        for application_id in ids:
            if application_id not in self._entries:
                self._watched.setdefault(application_id, _Watched())

    def put_back(self, lost: Iterable[Seen], now: float) -> None:
        """Watch anew what was just published: whatever it was before, it is a fresh suspect now."""
        for one in lost:
            self._watched[one.id] = _Watched(put_back_at=now, put_back_after=one.attempt)

    def published(self, stream: Stream, entries: Iterable[tuple[Position, ApplicationId]]) -> None:
        """Learn of entries on a stream, behind all that came before; each is given once."""
        for position, application_id in entries:
            self._waiting[stream].append((position, application_id))
            self._entries[application_id] += 1
            self._watched.pop(application_id, None)

    def delivered(self, stream: Stream, head: Position | None) -> None:
        """Watch what waits no longer, as a stream has come to ``head`` (None: to its end)."""
        waiting = self._waiting[stream]
        while waiting and (head is None or waiting[0][0] < head):
            _, application_id = waiting.popleft()
            self._entries[application_id] -= 1
            if not self._entries[application_id]:
                del self._entries[application_id]
                self._watched.setdefault(application_id, _Watched())

    def scanned(self, last: UUID) -> None:
        """All up to ``last`` were looked at, and all that are unfinished and passed are known.

        `Front.reached` is `LATE_SECONDS` above `Front.passed`, so nothing slips through between
        this scan and the next.
        """
        self.low_water = max(self.low_water, shifted(last, -LATE_SECONDS))

    def watched(self) -> list[ApplicationId]:
        """Return the applications to ask Postgres about each time, by id."""
        return sorted(self._watched)

    def unknown(self, ids: Iterable[ApplicationId]) -> list[ApplicationId]:
        """Return those that are neither watched nor known to wait."""
        return [i for i in ids if i not in self._watched and i not in self._entries]

    def decide(
        self,
        observed: Iterable[ApplicationId],
        seen: Iterable[Seen],
        *,
        now: float,
        urgency: Urgency = NOT_URGENT,
        late: bool = False,
    ) -> Verdicts:
        """Judge what was seen; an application that was asked about and not seen is finished.

        ``late``: as in `judge`.
        """
        verdicts = Verdicts()
        before = {i: self._watched.pop(i) for i in observed if i in self._watched}
        for one in seen:
            if one.id in self._entries:  # it was published after the look began
                continue
            watched = self._watched[one.id] = before.get(one.id) or _Watched()
            judgement = self._judge(one, watched, now=now, urgency=urgency, late=late)
            if judgement == "fine":
                watched.suspected_since = None
            elif watched.suspected_since is None:
                watched.suspected_since = now
            if judgement == "lost":
                verdicts.lost.append(one)
            elif judgement == "poisoned":
                verdicts.poisoned.append(one)
        return verdicts

    def _judge(
        self, one: Seen, watched: _Watched, *, now: float, urgency: Urgency, late: bool
    ) -> Judgement:
        since, put_back_at = watched.suspected_since, watched.put_back_at
        on_its_way = (
            put_back_at is not None
            and now - put_back_at < GRACE_SECONDS
            and one.attempt <= watched.put_back_after
            and one.id not in urgency.ids
        )
        return judge(
            one,
            front=self.front,
            urgent=urgency.covers(one) and not on_its_way,
            suspected_seconds=None if since is None else now - since,
            late=late,
        )
