"""Files in and out: each row has its result, and what is given out is what there is."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

    from testkit.clients.hiring import HiringClient
    from testkit.processes.ingest import Door

FILE = """\
name,email,remark
Ada,ada@example.com,first
Bob,not an address,
"Lovelace, Countess",countess@example.com,
Ada again,ADA@example.com,twice
"""
CSV = {"content-type": "text/csv; charset=utf-8"}


async def send(
    door: Door, job: int, content: str | bytes, query: str = "", **headers: str
) -> httpx2.Response:
    return await door.client.post(
        f"/api/jobs/{job}/import{query}",
        content=content.encode() if isinstance(content, str) else content,
        headers=CSV | {name.replace("_", "-"): value for name, value in headers.items()},
    )


def told(reply: httpx2.Response) -> list[tuple[Any, ...]]:
    assert reply.status_code == 200, reply.text
    names = ("row", "outcome", "code", "status", "queuePosition")
    return [tuple(row[name] for name in names) for row in reply.json()["results"]]


async def test_each_row_of_a_file_applies_in_its_order(
    open_api: Door, hiring: HiringClient
) -> None:
    job = (await hiring.open(1))["id"]
    reply = await send(open_api, job, FILE)
    assert told(reply) == [
        (1, "applied", None, "ACTIVE", None),
        (2, "refused", "VALIDATION_ERROR", None, None),
        (3, "applied", None, "WAITLIST", 1),
        (4, "refused", "DUPLICATE_SUBMISSION", None, None),
    ]
    assert (reply.json()["applied"], reply.json()["refused"]) == (2, 2)
    assert [a["name"] for a in await hiring.applicants()] == ["Ada", "Lovelace, Countess"]


async def test_a_dry_run_says_so_and_changes_nothing(open_api: Door, hiring: HiringClient) -> None:
    job = (await hiring.open(1))["id"]
    await hiring.apply_publicly("Countess", "countess@example.com", job)
    before = await hiring.replay(job)
    reply = await send(open_api, job, FILE, "?dryRun=true")
    assert [row[1:3] for row in told(reply)] == [
        ("ready", None),
        ("refused", "VALIDATION_ERROR"),
        ("refused", "DUPLICATE_SUBMISSION"),
        ("refused", "DUPLICATE_SUBMISSION"),
    ]
    assert (await hiring.replay(job))["events"] == before["events"]
    await open_api.client.post(f"/api/jobs/{job}/close")
    closed = await send(open_api, job, FILE, "?dryRun=true")
    assert told(closed)[0][2] == "CONFLICT"


async def test_a_file_that_is_sent_again_with_its_key_is_done_once(
    open_api: Door, hiring: HiringClient
) -> None:
    job = (await hiring.open(1))["id"]
    first = await send(open_api, job, FILE, idempotency_key="file-1")
    again = await send(open_api, job, FILE, idempotency_key="file-1")
    assert told(first) == told(again)
    assert len((await hiring.replay(job))["events"]) == 2


async def test_json_lines_are_taken_too_and_many_keep_their_order(
    open_api: Door, hiring: HiringClient
) -> None:
    job = (await hiring.open(1))["id"]
    people = [{"name": f"Person {n}", "email": f"p{n}@example.com"} for n in range(250)]
    reply = await send(
        open_api, job, "\n".join(map(json.dumps, people)), content_type="application/jsonl"
    )
    assert [row[4] for row in told(reply)] == [None, *range(1, 250)]


async def test_what_is_no_file_is_refused(open_api: Door, hiring: HiringClient) -> None:
    job = (await hiring.open(1))["id"]
    many = "name,email\n" + "A,a@example.com\n" * 10_001
    for content, headers, status in (
        ("name\nAda\n", {}, 400),
        (b"name,email\nRen\xe9,r@example.com\n", {}, 400),
        ('name,email\n"Ada,a@example.com\n', {}, 400),
        (many, {}, 400),
        ("a" * 2_100_000, {}, 413),
        ("{}", {"content_type": "application/json"}, 415),
    ):
        reply = await send(open_api, job, content, **headers)
        assert reply.status_code == status, (content[:40], reply.text)
    assert (await send(open_api, 9_999, FILE)).status_code == 404
    assert (await send(open_api, job, FILE, "?dryRun=maybe")).status_code == 400
    assert await hiring.applicants() == []


async def export(door: Door, job: int, what: str, form: str) -> httpx2.Response:
    reply = await door.client.get(f"/api/jobs/{job}/export?what={what}&format={form}")
    assert reply.status_code == 200, reply.text
    name = f"job-{job}-{what}.{form}"
    assert reply.headers["content-disposition"] == f'attachment; filename="{name}"'
    return reply


async def test_roster_waitlist_and_events_are_given_out(
    open_api: Door, hiring: HiringClient
) -> None:
    job, results = await hiring.fill(1, 3)
    ids = [str(result["applicationId"]) for result in results]
    for what, expected in (("roster", ids[:1]), ("waitlist", ids[1:])):
        reply = await export(open_api, job, what, "csv")
        assert reply.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        assert [row["applicationId"] for row in rows] == expected
        lines = (await export(open_api, job, what, "jsonl")).text.splitlines()
        assert [str(json.loads(line)["applicationId"]) for line in lines] == expected
    events = [
        json.loads(line)
        for line in (await export(open_api, job, "events", "jsonl")).text.splitlines()
    ]
    assert [event["sequence"] for event in events] == [1, 2, 3, 4]
    assert [event["eventType"] for event in events] == ["OPENED", "APPLIED", "APPLIED", "APPLIED"]


async def test_a_cell_is_no_formula(open_api: Door, hiring: HiringClient) -> None:
    job = (await hiring.open(1))["id"]
    await hiring.apply_publicly("=1+2", "a@example.com", job)
    rows = list(csv.DictReader(io.StringIO((await export(open_api, job, "roster", "csv")).text)))
    assert rows[0]["applicantName"] == "'=1+2"


async def test_everything_about_an_applicant_is_told_and_erased(
    open_api: Door, hiring: HiringClient
) -> None:
    job, results = await hiring.fill(1, 2)
    ada = results[0]["applicantId"]
    found = (await open_api.client.get(f"/api/applicants/{ada}/export")).json()
    assert found["applicant"]["email"] == "person.0@example.com"
    assert [one["jobId"] for one in found["applications"]] == [job]
    erased = await open_api.client.delete(f"/api/applicants/{ada}")
    assert (erased.status_code, erased.content) == (204, b"")
    for path in (f"/api/applicants/{ada}", f"/api/status/{ada}", f"/api/applicants/{ada}/export"):
        assert (await open_api.client.get(path)).status_code == 404, path
    detail = (await open_api.client.get(f"/api/jobs/{job}")).text
    assert "person.0@example.com" not in detail
