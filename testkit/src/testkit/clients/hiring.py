"""A client of the hiring contract as its dashboard and its seed script are: plain HTTP, no more.

Written from the contract alone, and not from our code: it knows each answer's fields and what they
may be. Fields that are ours on top are allowed, and listed apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STATUSES = {"ACTIVE", "WAITLIST", "PENDING_ACKNOWLEDGMENT", "INACTIVE"}

ENTRY = {
    "applicationId": "id",
    "applicantId": "id",
    "applicantName": "text",
    "applicantEmail": "text",
    "status": "status",
    "queuePosition": "count?",
    "appliedAt": "time",
    "promotedAt": "time?",
    "acknowledgeDeadline": "time?",
}
JOB = {
    "id": "id",
    "title": "text",
    "description": "text?",
    "capacity": "count",
    "activeCount": "count",
    "waitlistCount": "count",
    "createdAt": "time",
}
REPLAY_ENTRY = {
    "applicationId": "id",
    "applicantId": "id",
    "applicantName": "text",
    "status": "status",
    "queuePosition": "count?",
}
EVENT = {
    "id": "id",
    "applicationId": "id",
    "eventType": "text",
    "fromStatus": "status?",
    "toStatus": "status",
    "metadata": "object",
    "createdAt": "time",
}

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "Job": JOB,
    "JobDetail": {**JOB, "activeApplicants": [ENTRY], "waitlistApplicants": [ENTRY]},
    "Applicant": {"id": "id", "name": "text", "email": "text", "createdAt": "time"},
    "Entry": ENTRY,
    "Result": {
        "applicationId": "id",
        "applicantId": "id",
        "jobId": "id",
        "status": "status",
        "queuePosition": "count?",
        "message": "text",
    },
    "Event": EVENT,
    "Status": {
        "applicantId": "id",
        "applicantName": "text",
        "applicantEmail": "text",
        "applications": [
            {
                "applicationId": "id",
                "jobId": "id",
                "jobTitle": "text",
                "status": "status",
                "queuePosition": "count?",
                "appliedAt": "time",
                "promotedAt": "time?",
                "acknowledgeDeadline": "time?",
                "timeInCurrentStateSeconds": "count",
            }
        ],
    },
    "Queue": {
        "jobId": "id",
        "jobTitle": "text",
        "capacity": "count",
        "activeCount": "count",
        "waitlistEntries": [
            {
                "applicationId": "id",
                "applicantId": "id",
                "applicantName": "text",
                "position": "count",
                "appliedAt": "time",
                "penaltyCount": "count",
            }
        ],
    },
    "Summary": {
        "jobId": "id",
        "jobTitle": "text",
        "capacity": "count",
        "activeCount": "count",
        "waitlistCount": "count",
        "inactiveCount": "count",
        "totalApplications": "count",
        "avgTimeToPromotionSeconds": "number?",
        "avgAcknowledgmentTimeSeconds": "number?",
        "decayEvents": "count",
    },
    "Replay": {
        "jobId": "id",
        "asOf": "time",
        "activeApplicants": [REPLAY_ENTRY],
        "waitlistApplicants": [REPLAY_ENTRY],
        "events": [EVENT],
    },
}
"""Each answer of the contract, with the kind of each field; ``?``: or null."""

ON_TOP: Mapping[str, set[str]] = {
    "Job": {
        "ackWindowSeconds", "order", "pipeline", "confirm", "fillFrom", "closesAt", "maxMisses",
        "answerHours", "verifyEmail", "state", "version",
    },
    "Result": {"scoringId"},
    "Replay": {"capacity", "activeCount", "waitlistCount", "eventCount", "sequence"},
}  # fmt: skip
"""Fields that the contract's own clients do not look for."""

METADATA: Mapping[str, Mapping[str, str]] = {
    "APPLIED": {"jobId": "id", "applicantId": "id"},
    "PROMOTED": {"jobId": "id", "acknowledgeDeadline": "time"},
    "ACKNOWLEDGED": {"jobId": "id", "acknowledgedAt": "time"},
    "WITHDRAWN": {"jobId": "id"},
    "DECAY_TRIGGERED": {"jobId": "id", "penaltyCount": "count", "newPosition": "count"},
}


def flaw(value: Any, shape: str) -> str | None:
    """What is wrong with an answer; None when it has each field, of its kind, and no other."""
    more = ON_TOP.get(shape, set()) | (ON_TOP["Job"] if shape == "JobDetail" else set())
    return flaw_of(value, SHAPES[shape], shape, more)


def flaw_of(
    value: Any, shape: Any, place: str, more: set[str] | frozenset[str] = frozenset()
) -> str | None:
    """The same of any part of an answer; ``place`` is its name in what is told."""
    if isinstance(shape, str):
        return None if _is_of(value, shape) else f"{place} is {value!r}, and no {shape}"
    if isinstance(shape, list):
        parts = {f"{place}[{n}]": (one, shape[0]) for n, one in enumerate(value)}
    else:
        if shape.keys() - value.keys() or value.keys() - shape.keys() - more:
            return f"{place} has {sorted(value)}"
        parts = {f"{place}.{name}": (value[name], of) for name, of in shape.items()}
    return next(filter(None, (flaw_of(*part, where) for where, part in parts.items())), None)


def _is_of(value: Any, kind: str) -> bool:
    if kind.endswith("?"):
        return value is None or _is_of(value, kind[:-1])
    is_whole = type(value) is int
    kinds: dict[str, Callable[[], bool]] = {
        "id": lambda: is_whole and value > 0,
        "count": lambda: is_whole and value >= 0,
        "number": lambda: type(value) in (int, float),
        "text": lambda: isinstance(value, str),
        "object": lambda: isinstance(value, dict),
        "time": lambda: isinstance(value, str) and TIME.fullmatch(value) is not None,
        "status": lambda: value in STATUSES,
    }
    return kinds[kind]()


class RefusedError(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


@dataclass
class HiringClient:
    """Calls the contract, and looks at each answer's shape."""

    http: httpx2.AsyncClient

    async def call(self, method: str, path: str, status: int, **arguments: Any) -> Any:
        """Call, and return the decoded answer; `RefusedError` when it is an error."""
        reply = await self.http.request(method, f"/api{path}", **arguments)
        if reply.status_code >= 400:
            error = reply.json()["error"]
            assert set(error) == {"message", "code", "details"}, error
            raise RefusedError(reply.status_code, error["code"], error["message"])
        assert reply.status_code == status, (path, reply.status_code)
        assert reply.headers["content-type"] == "application/json", path
        return reply.json()

    async def one(self, method: str, path: str, shape: str, status: int = 200, **more: Any) -> Any:
        """Call for one thing of a shape."""
        found = await self.call(method, path, status, **more)
        assert (wrong := flaw(found, shape)) is None, wrong
        return found

    async def many(self, path: str, shape: str) -> list[Any]:
        """Call for a list."""
        found = await self.call("GET", path, 200)
        for one in found:
            assert (wrong := flaw(one, shape)) is None, wrong
        return list(found)

    async def jobs(self) -> list[Any]:
        return await self.many("/jobs", "Job")

    async def open(self, capacity: int, title: str = "Nurse", **more: Any) -> Any:
        body = {"title": title, "capacity": capacity, **more}
        return await self.one("POST", "/jobs", "Job", 201, json=body)

    async def job(self, job: int) -> Any:
        return await self.one("GET", f"/jobs/{job}", "JobDetail")

    async def applicants(self) -> list[Any]:
        return await self.many("/applicants", "Applicant")

    async def register(self, name: str) -> Any:
        email = f"{name.lower().replace(' ', '.')}@example.com"
        body = {"name": name, "email": email}
        return await self.one("POST", "/applicants", "Applicant", 201, json=body)

    async def applicant(self, applicant: int) -> Any:
        return await self.one("GET", f"/applicants/{applicant}", "Applicant")

    async def apply(self, applicant: int, job: int, **more: Any) -> Any:
        body = {"applicantId": applicant, "jobId": job, **more}
        return await self.one("POST", "/apply", "Result", 201, json=body)

    async def apply_publicly(self, name: str, email: str, job: int) -> Any:
        body = {"name": name, "email": email, "jobId": job}
        return await self.one("POST", "/apply-public", "Result", 201, json=body)

    async def withdraw(self, application: int) -> Any:
        return await self.one("POST", "/withdraw", "Result", json={"applicationId": application})

    async def acknowledge(self, application: int) -> Any:
        return await self.one("POST", "/acknowledge", "Result", json={"applicationId": application})

    async def status(self, applicant: int) -> Any:
        return await self.one("GET", f"/status/{applicant}", "Status")

    async def timeline(self, applicant: int) -> list[Any]:
        return await self.many(f"/timeline/{applicant}", "Event")

    async def queue(self, job: int) -> Any:
        return await self.one("GET", f"/queue/{job}", "Queue")

    async def summary(self, job: int) -> Any:
        return await self.one("GET", f"/pipeline/{job}/summary", "Summary")

    async def replay(self, job: int, as_of: str | None = None) -> Any:
        query = {} if as_of is None else {"asOf": as_of}
        return await self.one("GET", f"/pipeline/{job}/replay", "Replay", params=query)

    async def fill(self, capacity: int, applicants: int, **more: Any) -> tuple[int, list[Any]]:
        """Open a job and have so many apply; the job's id and each Result, in order."""
        job = (await self.open(capacity, **more))["id"]
        known = len(await self.applicants())
        results = []
        for number in range(known, known + applicants):
            applicant = await self.register(f"Person {number}")
            results.append(await self.apply(applicant["id"], job))
        return job, results
