"""Made-up people. Their addresses lead nowhere: the domain is reserved for examples (RFC 2606)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random

_FIRST = (
    "Ada", "Alan", "Barbara", "Chen", "Donald", "Edsger", "Frances", "Grace", "Hedy", "Ingrid",
    "Jin", "Katherine", "Leila", "Mehmet", "Nadia", "Olu", "Priya", "Rosa", "Sven", "Tim", "Yuki",
    "Zofia",
)  # fmt: skip
_LAST = (
    "Allen", "Banerjee", "Dijkstra", "Eriksen", "Garcia", "Hamilton", "Hopper", "Ito", "Johnson",
    "Kowalska", "Knuth", "Lamarr", "Liskov", "Moreau", "Nwosu", "Okafor", "Petrov", "Rossi",
    "Schmidt", "Turing", "Yilmaz", "Zhang",
)  # fmt: skip


_LEVELS = ("", "Senior ", "Junior ", "Lead ")
_WORK = (
    "backend engineer", "data analyst", "designer", "nurse", "teacher", "electrician", "baker",
    "site manager", "librarian", "translator", "accountant", "bus driver",
)  # fmt: skip
_PLACES = ("Aarhus", "Berlin", "Kraków", "Lagos", "Lyon", "Pune", "Quito", "remote", "Taipei")


class Person(NamedTuple):
    """A name, and an address that no other one has."""

    name: str
    email: str


def person(number: int, chance: random.Random) -> Person:
    """Make up the person with a number; the same number has the same address."""
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    return Person(f"{first} {last}", f"applicant-{number}@example.com")


def position(chance: random.Random) -> str:
    """Make up the title of an opening."""
    title = f"{chance.choice(_LEVELS)}{chance.choice(_WORK)}, {chance.choice(_PLACES)}"
    return title[0].upper() + title[1:]
