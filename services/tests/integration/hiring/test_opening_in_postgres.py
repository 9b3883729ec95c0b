"""All that can happen to an opening in Postgres, in any order (`testkit.hiring.machine`).

Each step goes through the product's acts; after each all that must hold is checked on the rows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from testkit.faults.unguarding import without
from testkit.hiring import must_hold
from testkit.hiring.machine import OpeningMachine, profile
from testkit.hiring.stored.opening import Office, StoredOpening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shortlist.domain.hiring.opening import Rules
    from shortlist.domain.hiring.ordering import Order


class StoredMachine(OpeningMachine):
    """An opening that the product keeps."""

    office: Office

    def begin(self, rules: Rules) -> StoredOpening:
        return StoredOpening(self.office, rules)

    def check(self) -> None:
        must_hold.nothing_is_overdue(self.world, self.world.now)  # the rest is at each look


class StoredScoreMachine(StoredMachine):
    """The same with the order ``score``."""

    order: Order = "score"


class StoredMovedScoreMachine(StoredScoreMachine):
    """The same with moves in a line by score, whose order the reference does not know."""

    compares = False


@pytest.fixture
def office(database_url: str) -> Iterator[Office]:
    with asyncio.Runner() as runner:
        office = Office.open(runner, database_url)
        yield office
        office.close()


@pytest.mark.parametrize("machine", [StoredMachine, StoredScoreMachine, StoredMovedScoreMachine])
def test_whatever_happens_what_must_hold_does(office: Office, machine: type[StoredMachine]) -> None:
    run(office, machine)


def run(office: Office, machine: type[StoredMachine], **how: Any) -> None:
    kind = type(machine.__name__, (machine,), {"office": office})
    run_state_machine_as_test(kind, settings=settings(profile(examples=20, steps=40), **how))


WITHOUT = {
    "settled_first": (StoredMachine, "overdue|free place|answered|placements are|the line is"),
    "standings_end": (StoredMachine, "spans"),
    "floors_follow": (StoredMovedScoreMachine, "floors|positions"),  # many join in front of others
}


@pytest.mark.parametrize("guard", WITHOUT)
def test_off_switch_what_is_wrong_is_found(office: Office, guard: str) -> None:
    machine, what_is_found = WITHOUT[guard]
    with without(guard), pytest.raises(AssertionError, match=what_is_found):
        run(office, machine, phases=(Phase.generate,), derandomize=True)
