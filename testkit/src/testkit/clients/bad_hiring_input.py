"""What the hiring API must refuse: for every route that takes a body, a path id or a parameter."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BEYOND = 2**63
LONE = "\\ud800"


@dataclass(frozen=True)
class Known:
    """Ids of things that are there."""

    job: int
    applicant: int
    application: int
    action: int = 1


@dataclass(frozen=True)
class BadCall:
    """One call, in words, and as it is sent."""

    route: str
    what: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    status: int | None = None
    """The one that it must be; None: any 4xx."""

    @property
    def method(self) -> str:
        return self.route.partition(" ")[0]

    def __str__(self) -> str:
        return f"{self.route}: {self.what}"


def good_bodies(known: Known) -> dict[str, dict[str, Any]]:
    """A body that each route takes."""
    return {
        "POST /jobs": {"title": "Nurse", "capacity": 2},
        "PATCH /jobs/{jobId}": {"capacity": 3},
        "POST /jobs/{jobId}/close": {"reason": "enough"},
        "POST /jobs/{jobId}/reopen": {"reason": "more"},
        "POST /jobs/{jobId}/end": {"reason": "over"},
        "POST /jobs/{jobId}/actions": {
            "action": "move",
            "applicationIds": [known.application],
            "position": 1,
            "reason": "r",
        },
        "POST /applicants": {"name": "Eve", "email": "eve@example.com"},
        "POST /apply": {"applicantId": known.applicant, "jobId": known.job},
        "POST /apply-public": {"name": "Eve", "email": "eve@example.com", "jobId": known.job},
        "POST /withdraw": {"applicationId": known.application},
        "POST /acknowledge": {"applicationId": known.application},
    }


TEXTS: dict[str, Any] = {
    "a number": 7,
    "null": None,
    "a list": ["Ada"],
    "an object": {},
    "true": True,
    "empty": "",
    "white space": " \t",
    "NUL": "A\x00da",
    "an escape character": "\x1b[31mAda",
    "a line end": "Ada\nLovelace",
    "a direction override": "Ada \u202egnitset",
    "an isolate": "Ada \u2066x",
    "201 characters": "a" * 201,
}
NUMBERS: dict[str, Any] = {
    "a text": "2",
    "null": None,
    "a fraction": 1.5,
    "a fraction that is whole": 2.0,
    "true": True,
    "a list": [1],
    "beyond 2^63": BEYOND,
    "very large": 10**30,
}
COUNTS = {**NUMBERS, "0": 0, "negative": -1}
TIMES: dict[str, Any] = {
    "a number": 1_800_000_000,
    "without offset": "2027-01-01T00:00:00",
    "a date": "2027-01-01",
    "words": "tomorrow",
    "February 30": "2027-02-30T00:00:00Z",
    "before year 1": "0001-01-01T00:00:00+23:59",
}
EMAILS: dict[str, Any] = {
    **{what: text for what, text in TEXTS.items() if what != "201 characters"},
    "no address": "ada",
    "no domain": "ada@",
    "no name": "@example.com",
    "two": "ada@example.com, bob@example.com",
    "a display name": "Ada <ada@example.com>",
    "a space inside": "ada love@example.com",
    "255 characters": "a" * 60 + "@" + ".".join(["b" * 60] * 3) + "." + "c" * 11,
    "two at signs": "ada@@example.com",
}
HOURS = {"zone": "Europe/Berlin", "days": ["mon"], "from": "09:00", "to": "17:00"}

FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "POST /jobs": {
        "title": TEXTS,
        "description": {"a number": 1, "NUL": "a\x00", "20 001 characters": "a" * 20_001},
        "capacity": {**COUNTS, "1 000 001": 1_000_001},
        "ackWindowSeconds": {**COUNTS, "a year and a second": 31_536_001},
        "order": {"unknown": "lifo", "null": None, "a number": 1},
        "confirm": {"unknown": "none", "null": None},
        "pipeline": {"unknown": "no-such", "a number": 1, "NUL": "a\x00"},
        "fillFrom": TIMES,
        "closesAt": TIMES,
        "maxMisses": {k: v for k, v in COUNTS.items() if k != "null"},
        "verifyEmail": {"a text": "true", "a number": 1, "null": None},
        "answerHours": {
            "a text": "always",
            "an unknown zone": {**HOURS, "zone": "Mars/Olympus"},
            "a zone that climbs": {**HOURS, "zone": "../../etc/passwd"},
            "no days": {**HOURS, "days": []},
            "an unknown day": {**HOURS, "days": ["day"]},
            "from after to": {**HOURS, "from": "18:00"},
            "25 o'clock": {**HOURS, "to": "25:00"},
            "no end": {name: of for name, of in HOURS.items() if name != "to"},
        },
    },
    "POST /applicants": {"name": {**TEXTS, "markup": "<b>Ada</b>"}, "email": EMAILS},
    "POST /apply-public": {
        "name": {**TEXTS, "markup": "<script>alert(1)</script>"},
        "email": EMAILS,
        "jobId": NUMBERS,
        "payload": {"a number": 1, "empty": "", "white space": "\n", "NUL": "a\x00"},
    },
    "POST /apply": {
        "applicantId": NUMBERS,
        "jobId": NUMBERS,
        "payload": {"a number": 1, "empty": "", "white space": "\n", "NUL": "a\x00"},
    },
    "POST /withdraw": {"applicationId": NUMBERS},
    "POST /acknowledge": {"applicationId": NUMBERS},
    "POST /jobs/{jobId}/actions": {
        "action": {"unknown": "praise", "null": None},
        "applicationIds": {
            "none": [],
            "1 001": list(range(1, 1_002)),
            "a text among them": ["1"],
            "beyond 2^63": [BEYOND],
            "one twice": [1, 1],
            "no list": 1,
        },
        "position": {k: v for k, v in COUNTS.items() if k != "null"},
        "reason": {
            "null": None, "empty": "", "white space": " ", "NUL": "a\x00", "long": "a" * 2_001,
        },
        "notify": {"a text": "true", "null": None},
        "dryRun": {"a text": "true", "null": None},
    },
}  # fmt: skip
FIELDS["PATCH /jobs/{jobId}"] = {
    **FIELDS["POST /jobs"],
    "version": {"stale": 99, **{k: v for k, v in COUNTS.items() if k != "null"}},
}
for _change in ("close", "reopen", "end"):
    FIELDS[f"POST /jobs/{{jobId}}/{_change}"] = {
        "reason": {"a number": 1, "empty": "", "NUL": "a\x00", "long": "a" * 2_001}
    }

UNKNOWN = {
    "POST /apply": ("applicantId", "jobId"),
    "POST /apply-public": ("jobId",),
    "POST /withdraw": ("applicationId",),
    "POST /acknowledge": ("applicationId",),
}
"""Ids in bodies: what they name must be there."""

QUERIES: dict[str, list[str]] = {
    "GET /jobs": [
        "limit=0", "limit=1001", "limit=x", "limit=1.5", "limit=", "after=%00", "after=zz!",
    ],
    "GET /applicants": ["limit=0", "limit=-1", "after=nonsense!"],
    "GET /jobs/{jobId}": ["limit=1001", "after=nonsense!"],
    "GET /queue/{jobId}": ["limit=x", "after=nonsense!"],
    "GET /timeline/{applicantId}": ["limit=0", "after=nonsense!"],
    "GET /jobs/{jobId}/entries": [
        "limit=0", "status=GONE", "minScore=x", "minScore=nan", "minScore=101", "sort=age",
        "after=nonsense!", "q=%00", "q=" + "a" * 201,
    ],
    "GET /pipeline/{jobId}/replay": [
        "asOf=", "asOf=now", "asOf=1700000000", "asOf=2027-01-01T00:00:00", "asOf=2027-01-01",
        "asOf=2027-13-01T00:00:00Z", "seq=-1", "seq=x", "seq=9223372036854775808", "limit=1001",
    ],
    "GET /events": ["", "jobId=x", "applicantId=x", "jobId=1&applicantId=1", "jobId=999999"],
    "POST /jobs/{jobId}/import": ["", "dryRun=maybe"],
    "GET /jobs/{jobId}/export": ["", "what=all&format=csv", "what=roster&format=xml"],
}  # fmt: skip

PATHS = (
    "GET /jobs/{jobId}", "GET /applicants/{applicantId}", "DELETE /applicants/{applicantId}",
    "GET /applicants/{applicantId}/export", "GET /applications/{applicationId}",
    "GET /status/{applicantId}", "GET /timeline/{applicantId}", "GET /queue/{jobId}",
    "GET /pipeline/{jobId}/summary", "GET /pipeline/{jobId}/replay",
    "GET /pipeline/{jobId}/verify", "GET /jobs/{jobId}/entries",
    "GET /jobs/{jobId}/export", "POST /actions/{actionId}/undo",
)  # fmt: skip


def calls(known: Known) -> Iterator[BadCall]:
    """Yield all of them."""
    good = good_bodies(known)
    for route, body in good.items():
        yield from _malformed(route, body, known)
        for name, values in FIELDS[route].items():
            for what, value in values.items():
                text = json.dumps({**body, name: value}).encode()
                yield BadCall(route, f"{name} is {what}", path(route, known), text)
        for name in _required(route, body):
            rest = {of: value for of, value in body.items() if of != name}
            text = json.dumps(rest).encode()
            yield BadCall(route, f"without {name}", path(route, known), text, status=400)
    for route, names in UNKNOWN.items():
        for name in names:
            for number in (0, -1, 999_999):
                text = json.dumps({**good[route], name: number}).encode()
                what = f"{name} is {number}"
                yield BadCall(route, what, path(route, known), text, status=404)
    yield from _keys(known)
    yield from _reads(known)


def _required(route: str, body: dict[str, Any]) -> list[str]:
    is_optional = route.startswith("PATCH") or route.endswith(("/close", "/reopen", "/end"))
    return [] if is_optional else [name for name in body if name != "position"]


def _malformed(route: str, body: dict[str, Any], known: Known) -> Iterator[BadCall]:
    good = json.dumps(body).encode()
    bodies = {
        "half a document": good[:-3],
        "two documents": good + good,
        "no JSON": b"title=Nurse",
        "a list": b"[" + good + b"]",
        "a text": b'"Nurse"',
        "a number": b"7",
        "NaN in it": good[:-1] + b', "x": NaN}',
        "a lone surrogate in it": good[:-1] + b', "title": "\\ud800", "name": "\\ud800"}',
        "a byte that is not UTF-8": good[:-1] + b', "x": "\xff"}',
        "UTF-16": good.decode().encode("utf-16"),
        "a nest of 60 000": good[:-1] + b', "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        "an integer of 5 000 digits": good[:-1] + b', "x": ' + b"9" * 5_000 + b"}",
    }
    for what, raw in bodies.items():
        yield BadCall(route, what, path(route, known), raw, status=400)
    if not route.endswith(("/close", "/reopen", "/end")):
        yield BadCall(route, "no body", path(route, known), b"", status=400)
    large = good[:-1] + b', "x": "' + b"a" * 300_000 + b'"}'
    yield BadCall(route, "300 000 bytes", path(route, known), large, status=413)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "text/csv"):
        headers = {"content-type": kind}
        yield BadCall(route, f"sent as {kind}", path(route, known), good, headers, 415)
    gzip = {"content-encoding": "gzip"}
    yield BadCall(route, "encoded", path(route, known), good, gzip, 415)


def _keys(known: Known) -> Iterator[BadCall]:
    for route, body in good_bodies(known).items():
        raw = json.dumps(body).encode()
        for what, key in {
            "empty": "",
            "of 256 characters": "k" * 256,
            "not ASCII": "cl\xe9",
        }.items():
            headers = {"idempotency-key": key}
            yield BadCall(route, f"a key {what}", path(route, known), raw, headers, 400)


def _reads(known: Known) -> Iterator[BadCall]:
    for route in PATHS:
        for value, status in {"x": 400, "1.5": 400, "%20": 400, "0": 404, "-1": 404,
                              "9" * 30: 404, "999999": 404}.items():  # fmt: skip
            name = route[route.index("{") : route.index("}") + 1]
            where = route.partition(" ")[2].replace(name, value)
            if route.endswith("/export") and "jobs" in route:
                where += "?what=roster&format=csv"
            yield BadCall(route, f"the id {value}", where, status=status)
    for route, queries in QUERIES.items():
        for query in queries:
            yield BadCall(route, f"?{query}", f"{path(route, known)}?{query}")


def path(route: str, known: Known) -> str:
    """The path of a route, with ids of things that are there."""
    return (
        route.partition(" ")[2]
        .replace("{jobId}", str(known.job))
        .replace("{applicantId}", str(known.applicant))
        .replace("{applicationId}", str(known.application))
        .replace("{actionId}", str(known.action))
    )
