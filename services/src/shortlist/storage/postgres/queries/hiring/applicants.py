"""Applicants: people, known by their address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shortlist.domain.hiring.placement import ApplicantId, OpeningId, PlacementId
from shortlist.storage.postgres.statements import SQL

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable

    from shortlist.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class Person:
    """Who applies by name and address. ``key``: the address as it is compared."""

    name: str
    email: str
    key: str


@dataclass(frozen=True, slots=True)
class ApplicantRow:
    """An applicant as their row has it."""

    id: ApplicantId
    name: str
    email: str
    created_at: dt.datetime


Live = PlacementId | None
"""An applicant's live placement in an opening, if there is one."""


async def new_id(connection: Connection) -> ApplicantId:
    """Return the id of an applicant who is about to be made."""
    return ApplicantId(await SQL["applicants.new_id"].fetchval(connection))


async def insert(
    connection: Connection, applicant_id: ApplicantId, person: Person
) -> ApplicantRow | None:
    """Make an applicant; None when the address is another's.

    May be repeated when the connection broke under it: what was committed is found.
    """
    await SQL["applicants.insert"].execute(
        connection, id=applicant_id, name=person.name, email=person.email, email_key=person.key
    )
    row = await SQL["applicants.of_address"].fetchrow(connection, email_key=person.key)
    return ApplicantRow(**row) if row and row["id"] == applicant_id else None


async def present(connection: Connection, applicant_id: ApplicantId) -> ApplicantRow | None:
    """Read an applicant; None when there is none, or they are erased."""
    row = await SQL["applicants.present"].fetchrow(connection, id=applicant_id)
    return ApplicantRow(**row) if row else None


async def applying(
    connection: Connection, pairs: Collection[tuple[ApplicantId, OpeningId]]
) -> dict[tuple[ApplicantId, OpeningId], Live]:
    """Find applicants, each with their live placement in an opening; others are left out.

    None of them is erased before the transaction ends.
    """
    rows = await SQL["applicants.applying"].fetch(
        connection,
        applicant_ids=[applicant_id for applicant_id, _ in pairs],
        openings=[opening_id for _, opening_id in pairs],
    )
    return {(row["id"], row["opening_id"]): row["live"] for row in rows}


@dataclass(frozen=True, slots=True)
class Found:
    """An applicant who was found or made by their address, and their live placement."""

    id: ApplicantId
    live: Live
    is_new: bool


async def applying_by_address(
    connection: Connection, people: Collection[tuple[Person, OpeningId]]
) -> dict[tuple[str, OpeningId], Found]:
    """Find applicants by their addresses, or make them; by address and opening."""
    found = await _by_address(connection, people, made=frozenset())
    missing: dict[str, Person] = {}
    for person, where in people:
        if (person.key, where) not in found:
            missing.setdefault(person.key, person)  # who came first gives the name
    if missing:
        made = await _make(connection, missing.values())
        found = await _by_address(connection, people, made)
    return found


async def _by_address(
    connection: Connection,
    people: Collection[tuple[Person, OpeningId]],
    made: frozenset[ApplicantId],
) -> dict[tuple[str, OpeningId], Found]:
    rows = await SQL["applicants.applying_by_address"].fetch(
        connection,
        email_keys=[person.key for person, _ in people],
        openings=[opening_id for _, opening_id in people],
    )
    return {
        (row["email_key"], row["opening_id"]): Found(row["id"], row["live"], row["id"] in made)
        for row in rows
    }


async def _make(connection: Connection, people: Iterable[Person]) -> frozenset[ApplicantId]:
    people = list(people)
    rows = await SQL["applicants.make"].fetch(
        connection,
        names=[person.name for person in people],
        emails=[person.email for person in people],
        email_keys=[person.key for person in people],
    )
    return frozenset(row["id"] for row in rows)


async def unmake(connection: Connection, ids: Collection[ApplicantId]) -> None:
    """Remove applicants who were made in this transaction."""
    await SQL["applicants.unmake"].execute(connection, ids=list(ids))


async def lock(connection: Connection, applicant_id: ApplicantId) -> bool:
    """Lock an applicant; false when there is none, or they are erased."""
    return await SQL["applicants.lock"].fetchval(connection, id=applicant_id) is not None


async def erase(connection: Connection, applicant_id: ApplicantId) -> None:
    """Remove what is known of a person, and what of them was scored."""
    await SQL["applicants.forget_payloads"].execute(connection, id=applicant_id)
    await SQL["applicants.erase"].execute(connection, id=applicant_id)
