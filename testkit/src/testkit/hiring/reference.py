"""The rules of one opening once more, as naively as they can be said: lists, no keys, no audit.

The line is a Python list in its order; what is put somewhere is inserted there; an order by score
is sorted from scratch. What `shortlist.domain.hiring` decides is compared with it after each step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt


@dataclass
class Person:
    """One application."""

    id: int
    applicant: int
    number: int
    status: str = "WAITLIST"
    misses: int = 0
    score: float | None = None
    deadline: dt.datetime | None = None
    is_last_decay: bool = False


@dataclass
class Reference:
    """One opening. Methods return a status, or the code of a refusal."""

    capacity: int
    window: dt.timedelta
    order: str
    everyone: bool
    max_misses: int | None
    fill_from: dt.datetime | None
    closes_at: dt.datetime | None
    now: dt.datetime
    state: str = "open"
    people: dict[int, Person] = field(default_factory=dict)
    line: list[int] = field(default_factory=list)

    def tick(self, now: dt.datetime) -> set[int]:
        """Settle at the time of the next event; return whose offers ran out."""
        self.now = now
        if self.state == "open" and self.closes_at and self.now >= self.closes_at:
            self.state = "closed"
        overdue = [p for p in self.people.values() if p.deadline and p.deadline < self.now]
        for person in sorted(overdue, key=lambda p: (p.deadline, p.id)):
            person.misses += 1
            person.deadline = None
            person.is_last_decay = True
            if self.max_misses is not None and person.misses >= self.max_misses:
                person.status = "INACTIVE"
            else:
                self._wait(person)
        self._fill()
        return {p.id for p in overdue}

    def _wait(self, person: Person) -> None:
        person.status = "WAITLIST"
        self.line.append(person.id)
        self._sort()

    def _sort(self) -> None:
        if self.order == "score":
            people = [self.people[i] for i in self.line]
            unscored = [p for p in people if p.score is None]
            scored = [p for p in people if p.score is not None]
            scored.sort(key=lambda p: p.number)
            scored.sort(key=lambda p: p.score or 0.0, reverse=True)
            unscored.sort(key=lambda p: p.number)
            both = scored + unscored
            both.sort(key=lambda p: p.misses)
            self.line = [p.id for p in both]

    def held(self) -> int:
        return sum(p.status in {"ACTIVE", "PENDING_ACKNOWLEDGMENT"} for p in self.people.values())

    def _is_filling(self) -> bool:
        return self.state != "ended" and (self.fill_from is None or self.fill_from <= self.now)

    def _fill(self) -> None:
        while self._is_filling() and self.line and self.held() < self.capacity:
            self._offer(self.people[self.line[0]])

    def _offer(self, person: Person) -> None:
        self.line.remove(person.id)
        person.status = "PENDING_ACKNOWLEDGMENT"
        person.deadline = self.now + self.window
        person.is_last_decay = False

    def apply(self, id_: int, applicant: int) -> str:
        if any(p.applicant == applicant and p.status != "INACTIVE" for p in self.people.values()):
            return "DUPLICATE_SUBMISSION"
        if self.state != "open":
            return "CONFLICT"
        person = Person(id_, applicant, number=len(self.people))
        self.people[id_] = person
        is_free = self._is_filling() and self.held() < self.capacity and not self.line
        if is_free and not self.everyone:
            person.status = "ACTIVE"
        else:
            self._wait(person)
        self._fill()
        return person.status

    def acknowledge(self, id_: int, missed: set[int]) -> str:
        person = self.people[id_]
        if id_ in missed or person.is_last_decay:
            return "GONE"
        if person.status != "PENDING_ACKNOWLEDGMENT":
            return "CONFLICT"
        person.status, person.deadline = "ACTIVE", None
        return "ACTIVE"

    def withdraw(self, id_: int) -> str:
        if self.people[id_].status == "INACTIVE":
            return "CONFLICT"
        self._leave(id_)
        self._fill()
        return "INACTIVE"

    def _leave(self, id_: int) -> None:
        person = self.people[id_]
        if person.status == "WAITLIST":
            self.line.remove(id_)
        person.status, person.deadline, person.is_last_decay = "INACTIVE", None, False

    def scored(self, id_: int, score: float | None) -> str:
        person = self.people[id_]
        person.score = score
        self._sort()
        return person.status

    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self._fill()

    def end(self) -> None:
        self.state = "ended"
        for person in self.people.values():
            if person.status in {"WAITLIST", "PENDING_ACKNOWLEDGMENT"}:
                self._leave(person.id)

    def remove(self, ids: list[int]) -> list[str]:
        results = []
        for id_ in ids:
            was_inactive = self.people[id_].status == "INACTIVE"
            results.append("already_inactive" if was_inactive else "removed")
            if not was_inactive:
                self._leave(id_)
        self._fill()
        return results

    def promote(self, id_: int) -> str:
        person = self.people[id_]
        if person.status != "WAITLIST":
            return "not_waiting"
        if self.held() >= self.capacity:
            return "no_place"
        self._offer(person)
        return "promoted"

    def move(self, id_: int, position: int) -> str:
        """Put someone at a position, from 1, of a ``fifo`` line."""
        if self.people[id_].status != "WAITLIST":
            return "not_waiting"
        self.line.remove(id_)
        self.line.insert(position - 1, id_)
        self.people[id_].is_last_decay = False
        return "moved"
