"""The hiring contract, row by row, as an existing client of it sees the answers."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING

import pytest

from testkit.clients.hiring import METADATA, RefusedError, flaw_of

if TYPE_CHECKING:
    from typing import Any

    from testkit.clients.hiring import HiringClient
    from testkit.processes.ingest import Door

pytestmark = pytest.mark.timeout(120)


async def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(RefusedError) as caught:
        await call
    return caught.value.status, caught.value.code


def time_of(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def after(text: str, milliseconds: int) -> str:
    time = time_of(text) + dt.timedelta(milliseconds=milliseconds)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_it_is_healthy(open_api: Door) -> None:
    for path in ("/healthz", "/api/healthz"):
        reply = await open_api.client.get(path)
        assert (reply.status_code, reply.json()["status"]) == (200, "ok")


async def test_jobs_are_opened_and_listed_oldest_first(hiring: HiringClient) -> None:
    first = await hiring.open(2, "  Nurse ", description="")
    second = await hiring.open(1, "Doctor")
    assert (first["title"], first["description"]) == ("Nurse", "")
    assert second["description"] is None
    assert (first["activeCount"], first["waitlistCount"]) == (0, 0)
    assert await hiring.jobs() == [first, second]
    detail = await hiring.job(first["id"])
    assert {name: detail[name] for name in first} == first
    assert (detail["activeApplicants"], detail["waitlistApplicants"]) == ([], [])
    assert await refused(hiring.job(9_999)) == (404, "NOT_FOUND")


async def test_the_defaults_are_the_contracts_own(hiring: HiringClient) -> None:
    job = await hiring.open(1)
    assert {name: job[name] for name in job if name not in ("id", "createdAt", "title")} == {
        "description": None, "capacity": 1, "activeCount": 0, "waitlistCount": 0,
        "ackWindowSeconds": 300, "order": "fifo", "pipeline": None, "confirm": "promoted",
        "fillFrom": None, "closesAt": None, "maxMisses": None, "answerHours": None,
        "verifyEmail": False, "state": "open", "version": 1,
    }  # fmt: skip


async def test_applicants_are_known_by_their_address(hiring: HiringClient) -> None:
    ada = await hiring.register("Ada")
    bob = await hiring.register("Bob")
    assert await hiring.applicants() == [ada, bob]
    assert await hiring.applicant(ada["id"]) == ada
    body = {"name": "Ada again", "email": " ADA@Example.com "}
    taken = hiring.one("POST", "/applicants", "Applicant", 201, json=body)
    assert await refused(taken) == (409, "CONFLICT")
    assert await refused(hiring.applicant(9_999)) == (404, "NOT_FOUND")


async def test_a_free_place_is_given_and_then_the_line_grows(hiring: HiringClient) -> None:
    job, results = await hiring.fill(2, 4)
    assert [(r["status"], r["queuePosition"]) for r in results] == [
        ("ACTIVE", None), ("ACTIVE", None), ("WAITLIST", 1), ("WAITLIST", 2),
    ]  # fmt: skip
    assert all(r["message"] and r["jobId"] == job for r in results)
    detail = await hiring.job(job)
    assert (detail["activeCount"], detail["waitlistCount"]) == (2, 2)
    ids = [r["applicationId"] for r in results]
    assert [e["applicationId"] for e in detail["activeApplicants"]] == ids[:2]
    assert [e["applicationId"] for e in detail["waitlistApplicants"]] == ids[2:]
    assert [e["queuePosition"] for e in detail["waitlistApplicants"]] == [1, 2]
    assert all(e["promotedAt"] is None for e in detail["activeApplicants"])


async def test_the_order_of_checks_is_applicant_job_duplicate(hiring: HiringClient) -> None:
    job, (result,) = await hiring.fill(1, 1)
    assert await refused(hiring.apply(9_999, 9_999)) == (404, "NOT_FOUND")
    assert await refused(hiring.apply(result["applicantId"], 9_999)) == (404, "NOT_FOUND")
    duplicate = hiring.apply(result["applicantId"], job)
    assert await refused(duplicate) == (409, "DUPLICATE_SUBMISSION")


async def test_a_person_applies_publicly_known_or_not(hiring: HiringClient) -> None:
    job = (await hiring.open(1))["id"]
    other = (await hiring.open(1))["id"]
    assert await refused(hiring.apply_publicly("Eve", "eve@example.com", 9_999)) == (
        404,
        "NOT_FOUND",
    )
    assert await hiring.applicants() == []
    first = await hiring.apply_publicly(" Eve ", "Eve@Example.com", job)
    again = await hiring.apply_publicly("Another", "eve@example.COM", other)
    assert first["applicantId"] == again["applicantId"]
    (eve,) = await hiring.applicants()
    assert (eve["name"], eve["email"]) == ("Eve", "Eve@Example.com")
    twice = hiring.apply_publicly("Eve", "eve@example.com", job)
    assert await refused(twice) == (409, "DUPLICATE_SUBMISSION")


async def test_who_withdraws_makes_room_for_the_next(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 3)
    gone = await hiring.withdraw(results[0]["applicationId"])
    assert (gone["status"], gone["queuePosition"]) == ("INACTIVE", None)
    again = hiring.withdraw(results[0]["applicationId"])
    assert await refused(again) == (409, "CONFLICT")
    detail = await hiring.job(job)
    (next_,) = detail["activeApplicants"]
    assert next_["status"] == "PENDING_ACKNOWLEDGMENT"
    assert next_["applicationId"] == results[1]["applicationId"]
    window = time_of(next_["acknowledgeDeadline"]) - time_of(next_["promotedAt"])
    assert window == dt.timedelta(seconds=300)
    assert [e["queuePosition"] for e in detail["waitlistApplicants"]] == [1]
    assert await refused(hiring.withdraw(9_999)) == (404, "NOT_FOUND")


async def test_an_offer_is_acknowledged_once_and_in_time(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 2)
    await hiring.withdraw(results[0]["applicationId"])
    promoted = (await hiring.job(job))["activeApplicants"][0]
    taken = await hiring.acknowledge(results[1]["applicationId"])
    assert taken["status"] == "ACTIVE"
    twice = hiring.acknowledge(results[1]["applicationId"])
    assert await refused(twice) == (409, "CONFLICT")
    (active,) = (await hiring.job(job))["activeApplicants"]
    assert (active["promotedAt"], active["acknowledgeDeadline"]) == (promoted["promotedAt"], None)
    assert await refused(hiring.acknowledge(9_999)) == (404, "NOT_FOUND")


async def until_late(hiring: HiringClient, job: int) -> None:
    """Wait until the deadline of the only offer has passed."""
    (offer,) = (await hiring.job(job))["activeApplicants"]
    deadline = time_of(offer["acknowledgeDeadline"])
    while dt.datetime.now(dt.UTC) <= deadline + dt.timedelta(milliseconds=10):
        await asyncio.sleep(0.05)


async def test_a_late_acknowledgement_is_gone_and_has_decayed(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 3, ackWindowSeconds=1)
    await hiring.withdraw(results[0]["applicationId"])
    await until_late(hiring, job)
    late = results[1]
    assert await refused(hiring.acknowledge(late["applicationId"])) == (410, "GONE")
    assert await refused(hiring.acknowledge(late["applicationId"])) == (410, "GONE")
    (entry,) = (await hiring.status(late["applicantId"]))["applications"]
    assert (entry["status"], entry["queuePosition"]) == ("WAITLIST", 1)
    assert (entry["promotedAt"], entry["acknowledgeDeadline"]) == (None, None)
    (waiting,) = (await hiring.queue(job))["waitlistEntries"]
    assert (waiting["position"], waiting["penaltyCount"]) == (1, 1)
    assert (await hiring.summary(job))["decayEvents"] == 1
    decay = next(
        e for e in await hiring.timeline(late["applicantId"]) if e["eventType"] == "DECAY_TRIGGERED"
    )
    assert (decay["fromStatus"], decay["toStatus"]) == ("PENDING_ACKNOWLEDGMENT", "WAITLIST")
    # One waits: MAX + 1 + penaltyCount.
    assert (decay["metadata"]["penaltyCount"], decay["metadata"]["newPosition"]) == (1, 3)


async def test_a_status_tells_of_all_applications_oldest_first(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 2)
    applicant = results[1]["applicantId"]
    await hiring.withdraw(results[1]["applicationId"])
    again = await hiring.apply(applicant, job)
    found = await hiring.status(applicant)
    assert found["applicantName"] == "Person 1"
    assert [(a["applicationId"], a["status"], a["queuePosition"]) for a in found["applications"]] \
        == [
            (results[1]["applicationId"], "INACTIVE", None),
            (again["applicationId"], "WAITLIST", 1),
        ]  # fmt: skip
    assert all(a["jobTitle"] == "Nurse" for a in found["applications"])
    nobody = await hiring.register("Quiet")
    assert (await hiring.status(nobody["id"]))["applications"] == []
    assert await hiring.timeline(nobody["id"]) == []
    assert await refused(hiring.status(9_999)) == (404, "NOT_FOUND")
    assert await refused(hiring.timeline(9_999)) == (404, "NOT_FOUND")


async def test_a_timeline_tells_each_event_with_its_metadata(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 2)
    await hiring.withdraw(results[0]["applicationId"])
    await hiring.acknowledge(results[1]["applicationId"])
    await hiring.withdraw(results[1]["applicationId"])
    events = await hiring.timeline(results[1]["applicantId"])
    assert [(e["eventType"], e["fromStatus"], e["toStatus"]) for e in events] == [
        ("APPLIED", None, "WAITLIST"),
        ("PROMOTED", "WAITLIST", "PENDING_ACKNOWLEDGMENT"),
        ("ACKNOWLEDGED", "PENDING_ACKNOWLEDGMENT", "ACTIVE"),
        ("WITHDRAWN", "ACTIVE", "INACTIVE"),
    ]
    assert [e["id"] for e in events] == sorted({e["id"] for e in events})
    assert [e["createdAt"] for e in events] == sorted(e["createdAt"] for e in events)
    for event in events:
        shape = METADATA[event["eventType"]]
        named = {name: event["metadata"].get(name) for name in shape}
        assert flaw_of(named, shape, event["eventType"]) is None
        assert event["metadata"]["jobId"] == job


async def test_a_queue_and_a_summary_tell_the_line(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 4)
    await hiring.withdraw(results[2]["applicationId"])
    queue = await hiring.queue(job)
    assert (queue["capacity"], queue["activeCount"], queue["jobTitle"]) == (1, 1, "Nurse")
    assert [(e["position"], e["applicationId"]) for e in queue["waitlistEntries"]] == [
        (1, results[1]["applicationId"]), (2, results[3]["applicationId"]),
    ]  # fmt: skip
    summary = await hiring.summary(job)
    assert summary["avgTimeToPromotionSeconds"] is None
    assert summary["avgAcknowledgmentTimeSeconds"] is None
    counts = ("activeCount", "waitlistCount", "inactiveCount", "totalApplications", "decayEvents")
    assert [summary[name] for name in counts] == [1, 2, 1, 4, 0]
    await hiring.withdraw(results[0]["applicationId"])
    await hiring.acknowledge(results[1]["applicationId"])
    averages = await hiring.summary(job)
    assert averages["avgTimeToPromotionSeconds"] >= 0
    assert averages["avgAcknowledgmentTimeSeconds"] >= 0
    assert await refused(hiring.queue(9_999)) == (404, "NOT_FOUND")
    assert await refused(hiring.summary(9_999)) == (404, "NOT_FOUND")


async def test_a_replay_tells_what_was_true_then(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 3)
    ids = [r["applicationId"] for r in results]
    before = (await hiring.replay(job))["events"]
    await asyncio.sleep(0.002)  # another millisecond: what is told is told to the millisecond
    await hiring.withdraw(ids[0])
    now = await hiring.replay(job)
    assert [e["applicationId"] for e in now["activeApplicants"]] == [ids[1]]
    assert [e["applicationId"] for e in now["waitlistApplicants"]] == [ids[2]]
    assert [e["queuePosition"] for e in now["waitlistApplicants"]] == [1]
    then = await hiring.replay(job, before[-1]["createdAt"])
    assert then["asOf"] == before[-1]["createdAt"]
    assert [e["applicationId"] for e in then["activeApplicants"]] == [ids[0]]
    assert [e["applicationId"] for e in then["waitlistApplicants"]] == ids[1:]
    assert then["events"] == before
    just_before = await hiring.replay(job, after(before[0]["createdAt"], -1))
    assert just_before["activeApplicants"] == []
    opened = (await hiring.job(job))["createdAt"]
    early = await hiring.replay(job, after(opened, -60_000))
    assert (early["activeApplicants"], early["waitlistApplicants"], early["events"]) == ([], [], [])
    future = await hiring.replay(job, "2999-01-01T00:00:00+02:00")
    assert future["asOf"] == "2998-12-31T22:00:00.000Z"
    assert (future["events"], future["activeApplicants"]) == (
        now["events"],
        now["activeApplicants"],
    )
    assert await refused(hiring.replay(job, "yesterday")) == (400, "VALIDATION_ERROR")
    assert await refused(hiring.replay(9_999)) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/0", 404), ("/jobs/-1", 404), ("/jobs/99999999999999999999999", 404),
        ("/jobs/x", 400), ("/jobs/1.0", 400), ("/jobs/1e3", 400), ("/jobs/%D9%A3", 400),
        ("/applicants/0", 404), ("/applicants/x", 400), ("/status/-7", 404), ("/status/x", 400),
        ("/timeline/9223372036854775808", 404), ("/timeline/x", 400), ("/queue/x", 400),
        ("/pipeline/x/summary", 400), ("/pipeline/0/replay", 404), ("/no/such/path", 404),
    ],
)  # fmt: skip
async def test_an_id_of_a_path_is_a_whole_number(
    hiring: HiringClient, path: str, status: int
) -> None:
    code = {400: "VALIDATION_ERROR", 404: "NOT_FOUND"}[status]
    assert await refused(hiring.call("GET", path, 200)) == (status, code)
