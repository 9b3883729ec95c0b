"""Three openings and five applicants, such that each status can be seen. Twice is harmless."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from shortlist.domain.hiring.audit import Actor
from shortlist.domain.hiring.opening import Rules
from shortlist.domain.hiring.placement import OpeningId, PlacementId
from shortlist.hiring.by import By, Once
from shortlist.hiring.errors import ConflictError
from shortlist.hiring.requests import NewOpening
from shortlist.hiring.seed.people import Person

if TYPE_CHECKING:
    from collections.abc import Collection

    from shortlist.hiring.acts import Acts

ACTOR = Actor("key")
"""The command is no person, and has no key."""

_DAY_SECONDS = 86_400

PEOPLE: Final = tuple(
    Person(name, f"{name.split()[0].lower()}@example.com")
    for name in ("Ada Lamarr", "Grace Okafor", "Alan Ito", "Priya Knuth", "Sven Rossi")
)


class Sample(NamedTuple):
    """An opening, who applies to it, and who leaves it again."""

    opening: NewOpening
    apply: tuple[Person, ...]
    leave: tuple[Person, ...] = ()


SAMPLES: Final = (
    Sample(
        NewOpening(
            "Backend engineer",
            Rules(capacity=2, ack_window_seconds=_DAY_SECONDS, max_misses=3),
            "Builds what answers in milliseconds.",
        ),
        apply=PEOPLE,
        leave=PEOPLE[:1],
    ),
    Sample(
        NewOpening("Data analyst", Rules(capacity=3), "Counts twice."),
        apply=PEOPLE[1:3],
    ),
    Sample(
        NewOpening(
            "Designer",
            Rules(capacity=1, ack_window_seconds=_DAY_SECONDS, order="score"),
            "The best scored waits first.",
        ),
        apply=PEOPLE[2:],
    ),
)


async def seed(acts: Acts, there: Collection[str]) -> int:
    """Make those of the samples whose titles are not ``there``; returns how many that were."""
    missing = [sample for sample in SAMPLES if sample.opening.title not in there]
    for sample in missing:
        await _make(acts, sample)
    return len(missing)


async def _make(acts: Acts, sample: Sample) -> None:
    """Make one; another seed that does the same at the same time makes no second one."""
    title = sample.opening.title
    once = Once(f"seed {title}", "seed", sha256(title.encode()).digest())
    opening_id = OpeningId((await acts.open(sample.opening, By(ACTOR, once))).id)
    placed: dict[Person, PlacementId] = {}
    for person in sample.apply:
        with suppress(ConflictError):  # they have applied already
            result = await acts.apply_publicly(person.name, person.email, opening_id, By(ACTOR))
            placed[person] = PlacementId(result.application_id)
    for person in placed.keys() & set(sample.leave):
        await acts.withdraw(placed[person], By(ACTOR))
