"""An opening that the product keeps in Postgres: what `testkit.hiring.machine` does to it.

Each step goes through `hiring.acts.Acts`, as ingest calls it, or `hiring.settlement`, as the leader
does; afterwards all that must hold is checked on the rows.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from shortlist.domain.hiring.acts import Acknowledge, ChangeRules, ChangeState, Score, Withdraw
from shortlist.domain.hiring.audit import next_time
from shortlist.domain.hiring.draft import Refused
from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
from shortlist.hiring.by import By
from shortlist.hiring.errors import ConflictError, GoneError
from shortlist.hiring.requests import ActionRequest, NewOpening
from shortlist.hiring.settlement import ArrivedScore
from shortlist.storage import postgres as connections
from testkit.hiring import postgres
from testkit.hiring.memory import COMPANY, PERSON, START
from testkit.hiring.stored.acts import acts_on, settled
from testkit.hiring.stored.clock import TestClock

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Awaitable, Mapping, Sequence

    from shortlist.domain.hiring.acts import Act, Answer
    from shortlist.domain.hiring.audit import Event
    from shortlist.domain.hiring.company_acts import Action
    from shortlist.domain.hiring.draft import Opening
    from shortlist.domain.hiring.opening import Rules
    from shortlist.domain.hiring.placement import Placement
    from shortlist.hiring.acts import Acts
    from shortlist.hiring.views import ActionResult, Result
    from shortlist.storage.postgres import Connection
    from shortlist.storage.postgres.database import Database
    from testkit.hiring.machine import ByHand
    from testkit.hiring.tables import OpeningTables

APPLICANTS = 8


class Office:
    """The product on a database of a test's own, whose clock the test sets."""

    def __init__(
        self,
        runner: asyncio.Runner,
        connection: Connection,
        clock: TestClock,
        acts: Acts,
        database: Database,
    ) -> None:
        """Made by `open`."""
        self._runner = runner
        self._database = database
        self.connection = connection
        self.clock = clock
        self.acts = acts
        self.applicants: list[ApplicantId] = []

    @classmethod
    def open(cls, runner: asyncio.Runner, database_url: str) -> Self:
        """Open it on an empty database; its applicants are those of `testkit.hiring.machine`."""
        return runner.run(cls._open(runner, database_url))

    @classmethod
    async def _open(cls, runner: asyncio.Runner, database_url: str) -> Self:
        connection = await connections.connect(database_url, application_name="office")
        clock = await TestClock.stand_in(connection, START)
        office = cls(runner, connection, clock, *acts_on(database_url))
        for number in range(1, APPLICANTS + 1):
            applicant = await office.acts.register(
                f"Applicant {number}", f"{number}@example.org", By(PERSON)
            )
            office.applicants.append(ApplicantId(applicant.id))
        return office

    def close(self) -> None:
        """Close its connections."""
        self.do(self._database.close())
        self.do(self.connection.close())

    def do(self, work: Awaitable[Any]) -> Any:
        """Wait for some work."""

        async def awaited() -> Any:
            return await work

        return self._runner.run(awaited())


class StoredOpening:
    """One opening of an office."""

    def __init__(self, office: Office, rules: Rules) -> None:
        """Open it; the clock is set to the start."""
        self._office = office
        self.clock = START
        job = office.do(office.acts.open(NewOpening("An opening", rules), By(COMPANY)))
        self.id = OpeningId(job.id)
        self.tables: OpeningTables
        self._look()

    @property
    def clock(self) -> dt.datetime:
        """Postgres's."""
        return self._office.clock.now

    @clock.setter
    def clock(self, now: dt.datetime) -> None:
        self._office.do(self._office.clock.set(now))

    @property
    def now(self) -> dt.datetime:
        """The time of the next event."""
        return next_time(self.clock, self.events[-1].at)

    @property
    def opening(self) -> Opening:
        """As its row has it."""
        return self.tables.opening

    @property
    def placements(self) -> Mapping[PlacementId, Placement]:
        """As their rows have them."""
        return self.tables.placements

    @property
    def events(self) -> Sequence[Event]:
        """All of its audit."""
        return self.tables.events

    def line(self) -> list[Placement]:
        """Who waits, in the line's order."""
        return self.tables.line()

    def held(self) -> list[Placement]:
        """Who holds a place."""
        return self.tables.held()

    def _look(self) -> None:
        """Read all rows, and check what must hold of them."""
        (self.tables,) = self._office.do(postgres.check(self._office.connection, [self.id]))

    def settle(self) -> None:
        """Have happen what time has caused, as the leader does."""
        self._office.do(settled(self._office.connection, self.id))
        self._look()

    def apply_together(self, applicants: Sequence[ApplicantId]) -> Sequence[Answer]:
        """Have applicants apply at once, in this order."""
        acts, ids = self._office.acts, self._office.applicants
        return self._all([acts.apply(ids[n - 1], self.id, By(PERSON)) for n in applicants])

    def do(self, *acts: Act) -> Sequence[Answer]:
        """Have acts happen at once, in this order."""
        return self._all([self._asked(act) for act in acts])

    def _all(self, asked: Sequence[Awaitable[Any]]) -> list[Answer]:
        async def gathered() -> list[Any]:
            return list(await asyncio.gather(*map(_or_refused, asked)))

        answers = self._office.do(gathered())
        self._look()
        return [self._told(answer) for answer in answers]

    def _asked(self, act: Act) -> Awaitable[Any]:
        acts = self._office.acts
        match act:
            case Acknowledge():
                return acts.acknowledge(act.placement.id, By(act.actor))
            case Withdraw():
                return acts.withdraw(act.placement.id, By(act.actor))
            case ChangeRules():
                changes = {"capacity": act.rules.capacity}
                return acts.change(self.id, changes, By(act.actor))
            case ChangeState():
                return acts.change_state(self.id, act.change, By(act.actor))
            case Score():
                return self._scored(act)
            case _:
                raise AssertionError(f"not by this way: {act}")

    async def _scored(self, act: Score) -> Placement:
        arrived = ArrivedScore(act.placement.id, act.scoring_id, act.score)
        await settled(self._office.connection, self.id, [arrived])
        return act.placement

    def _told(self, answer: Any) -> Answer:
        """What the product answered, as the domain says it."""
        if isinstance(answer, Refused):
            return answer
        if hasattr(answer, "version"):
            assert (answer.active_count, answer.waitlist_count) == (
                len(self.held()),
                len(self.line()),
            )
            return self.opening
        if hasattr(answer, "application_id"):
            return self._placement_of(answer)
        return self.placements[answer.id]

    def _placement_of(self, result: Result) -> Placement:
        placement = self.placements[PlacementId(result.application_id)]
        return replace(placement, status=result.status)

    def act_by_hand(
        self, action: Action, targets: Sequence[Placement], position: int | None = None
    ) -> tuple[int, dict[PlacementId, str]]:
        """Have the company act, after a dry run that must foretell it."""
        ids = tuple(target.id for target in targets)
        foretold = self._acted(ActionRequest(action, ids, position, "a reason", dry_run=True))
        before = self.tables
        self._look()
        assert self.tables.events == before.events, "a dry run has written"
        done = self._acted(ActionRequest(action, ids, position, "a reason"))
        self._look()
        assert foretold.results == done.results, "a dry run foretold another outcome"
        assert foretold.promoted == done.promoted, "a dry run foretold other promotions"
        return done.action_id, _outcomes(done)

    def _acted(self, request: ActionRequest) -> Any:
        return self._office.do(self._office.acts.act(self.id, request, By(COMPANY)))

    def undo(self, done: ByHand) -> Refused | Mapping[PlacementId, str]:
        """Have the company take an action back."""
        answer = self._office.do(_or_refused(self._office.acts.undo(done.name, By(COMPANY))))
        self._look()
        if isinstance(answer, Refused):
            return answer
        return _outcomes(answer)


def _outcomes(done: ActionResult) -> dict[PlacementId, str]:
    return {PlacementId(r.application_id): r.outcome for r in done.results}


async def _or_refused(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except ConflictError as error:
        return Refused(error.code, str(error))
    except GoneError as error:
        return Refused("GONE", str(error))
