"""What `/api` has beyond the contract: rules, the company's acts, pages, why, and the audit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from testkit.clients.hiring import RefusedError

if TYPE_CHECKING:
    import httpx2

    from testkit.clients.hiring import HiringClient
    from testkit.processes.ingest import Door


async def refused(call: Any) -> tuple[int, str]:
    with pytest.raises(RefusedError) as caught:
        await call
    return caught.value.status, caught.value.code


async def patch(hiring: HiringClient, job: int, **changes: Any) -> Any:
    return await hiring.one("PATCH", f"/jobs/{job}", "Job", json=changes)


async def change_state(hiring: HiringClient, job: int, change: str, **body: Any) -> Any:
    return await hiring.one("POST", f"/jobs/{job}/{change}", "Job", json=body)


async def act(hiring: HiringClient, job: int, action: str, *ids: int, **more: Any) -> Any:
    body = {"action": action, "applicationIds": ids, "reason": "as agreed", **more}
    return await hiring.call("POST", f"/jobs/{job}/actions", 200, json=body)


async def test_an_opening_has_rules_and_they_change(hiring: HiringClient) -> None:
    hours = {"zone": "Europe/Berlin", "days": ["mon", "fri"], "from": "09:00", "to": "24:00"}
    rules: dict[str, Any] = {
        "ackWindowSeconds": 60, "order": "score", "confirm": "everyone", "maxMisses": 3,
        "fillFrom": "2999-01-01T00:00:00.000Z", "closesAt": "2999-02-01T00:00:00.000Z",
        "answerHours": hours, "verifyEmail": True, "pipeline": "default",
    }  # fmt: skip
    job = await hiring.open(2, **rules)
    assert {name: job[name] for name in rules} == rules
    changed = await patch(hiring, job["id"], maxMisses=None, title="Doctor", version=1)
    assert (changed["maxMisses"], changed["title"]) == (None, "Doctor")
    assert changed["version"] > 1
    assert changed["answerHours"] == rules["answerHours"]
    stale = patch(hiring, job["id"], title="Nurse", version=1)
    assert await refused(stale) == (409, "CONFLICT")
    assert await refused(patch(hiring, 9_999, title="Nurse")) == (404, "NOT_FOUND")


async def test_a_raised_capacity_promotes_and_a_lowered_one_evicts_nobody(
    hiring: HiringClient,
) -> None:
    job, _ = await hiring.fill(1, 4)
    raised = await patch(hiring, job, capacity=3)
    assert (raised["activeCount"], raised["waitlistCount"]) == (3, 1)
    lowered = await patch(hiring, job, capacity=1)
    assert (lowered["capacity"], lowered["activeCount"]) == (1, 3)
    first = (await hiring.job(job))["activeApplicants"][0]["applicationId"]
    await hiring.withdraw(first)
    assert (await hiring.job(job))["waitlistCount"] == 1


async def test_an_opening_is_closed_reopened_and_ended(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 2)
    closed = await change_state(hiring, job, "close", reason="enough")
    assert closed["state"] == "closed"
    late = (await hiring.register("Late"))["id"]
    assert await refused(hiring.apply(late, job)) == (409, "CONFLICT")
    await hiring.withdraw(results[0]["applicationId"])  # the line still moves
    assert (await hiring.job(job))["activeCount"] == 1
    reply = await hiring.http.post(f"/api/jobs/{job}/reopen")  # without a body, too
    assert reply.json()["state"] == "open"
    await hiring.apply(late, job)
    ended = await change_state(hiring, job, "end")
    assert (ended["state"], ended["activeCount"], ended["waitlistCount"]) == ("ended", 0, 0)
    assert await refused(change_state(hiring, job, "reopen")) == (409, "CONFLICT")


async def test_the_company_moves_removes_and_takes_it_back(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 4)
    ids = [result["applicationId"] for result in results]
    dry = await act(hiring, job, "remove", ids[0], dryRun=True)
    assert (dry["actionId"], dry["undoUntil"]) == (None, None)
    assert dry["results"][0]["outcome"] == "removed"
    assert [one["applicationId"] for one in dry["promoted"]] == [ids[1]]
    assert (await hiring.job(job))["activeApplicants"][0]["applicationId"] == ids[0]
    moved = await act(hiring, job, "move", ids[3], position=1)
    assert moved["results"] == [
        {"applicationId": ids[3], "outcome": "moved", "status": "WAITLIST", "queuePosition": 1}
    ]
    assert moved["promoted"] == []
    undone = await hiring.call("POST", f"/actions/{moved['actionId']}/undo", 200)
    assert (undone["results"][0]["outcome"], undone["results"][0]["queuePosition"]) == ("undone", 3)
    removed = await act(hiring, job, "remove", ids[1], ids[2])
    assert {one["outcome"] for one in removed["results"]} == {"removed"}
    back = await act(hiring, job, "reinstate", ids[1])
    assert back["results"][0]["status"] == "WAITLIST"
    unknown = act(hiring, job, "remove", 999_999)
    assert (await refused(unknown))[0] == 404
    assert await refused(hiring.call("POST", "/actions/999999/undo", 200)) == (404, "NOT_FOUND")


async def pages(door: Door, path: str) -> list[httpx2.Response]:
    """All pages of a list, each found by the link of the one before."""
    found = [await door.client.get(path)]
    while link := found[-1].headers.get("link"):
        match = re.fullmatch(r'<([^>]+)>; rel="next"', link)
        assert match is not None, link
        found.append(await door.client.get(found[-1].url.join(match[1])))
        assert len(found) < 20
    return found


async def test_lists_go_on_page_by_page_and_say_how_long_they_are(
    open_api: Door, hiring: HiringClient
) -> None:
    job, results = await hiring.fill(2, 7)
    for path, count in (
        ("/api/applicants?limit=3", 7),
        ("/api/jobs?limit=1", 1),
        (f"/api/timeline/{results[0]['applicantId']}?limit=1", 1),
    ):
        replies = await pages(open_api, path)
        whole = (await open_api.client.get(path.partition("?")[0])).json()
        assert [one for reply in replies for one in reply.json()] == whole, path
        assert {reply.headers["x-total-count"] for reply in replies} == {str(count)}
    queue = await pages(open_api, f"/api/queue/{job}?limit=2")
    positions = [e["position"] for reply in queue for e in reply.json()["waitlistEntries"]]
    assert positions == [1, 2, 3, 4, 5]
    entries = await pages(
        open_api, f"/api/jobs/{job}/entries?limit=3&status=WAITLIST&status=ACTIVE"
    )
    found = [e["applicationId"] for reply in entries for e in reply.json()["entries"]]
    assert sorted(found) == [result["applicationId"] for result in results]
    assert {reply.json()["total"] for reply in entries} == {7}


async def test_entries_are_filtered_and_an_application_tells_why(hiring: HiringClient) -> None:
    job, results = await hiring.fill(1, 3)
    found = await hiring.call("GET", f"/jobs/{job}/entries?q=PERSON%202&status=WAITLIST", 200)
    assert [e["applicationId"] for e in found["entries"]] == [results[2]["applicationId"]]
    assert (found["entries"][0]["score"], found["entries"][0]["penaltyCount"]) == (None, 0)
    detail = await hiring.call("GET", f"/applications/{results[2]['applicationId']}", 200)
    assert (detail["jobTitle"], detail["ahead"], detail["queuePosition"]) == ("Nurse", 1, 2)
    assert detail["why"] == ["1 ahead: 1 joined the line earlier."]
    assert [e["eventType"] for e in detail["timeline"]] == ["APPLIED"]


async def test_a_replay_is_told_at_an_event_and_by_its_first_page(hiring: HiringClient) -> None:
    job, _ = await hiring.fill(1, 4)
    at = await hiring.one("GET", f"/pipeline/{job}/replay?seq=3", "Replay")
    assert (at["sequence"], at["activeCount"], at["waitlistCount"], at["capacity"]) == (3, 1, 1, 1)
    first = await hiring.one("GET", f"/pipeline/{job}/replay?limit=2", "Replay")
    assert [e["queuePosition"] for e in first["waitlistApplicants"]] == [1, 2]
    assert (first["waitlistCount"], first["eventCount"]) == (3, 4)
    assert len(first["events"]) == 2


async def test_an_audit_is_verified(hiring: HiringClient) -> None:
    job, _ = await hiring.fill(1, 3)
    found = await hiring.call("GET", f"/pipeline/{job}/verify", 200)
    assert (found["events"], found["intact"], found["problem"]) == (4, True, None)
    assert re.fullmatch("[0-9a-f]{64}", found["head"])


async def test_a_payload_is_scored_too(open_api: Door, hiring: HiringClient) -> None:
    job, _ = await hiring.fill(1, 1)
    ada = (await hiring.register("Ada"))["id"]
    result = await hiring.apply(ada, job, payload="I wrote the first program.")
    scored = await open_api.client.get(f"/applications/{result['scoringId']}")
    assert (scored.status_code, scored.json()["status"]) == (200, "pending")
    assert "Ada" not in scored.text
    duplicate = hiring.apply(ada, job, payload="Again.")
    assert await refused(duplicate) == (409, "DUPLICATE_SUBMISSION")
    plain = await hiring.apply((await hiring.register("Bob"))["id"], job)
    assert plain["scoringId"] is None


async def test_a_full_line_of_scoring_refuses_both(
    open_api: Door, hiring: HiringClient, set_capacity: Any
) -> None:
    job = (await hiring.open(1))["id"]
    ada = (await hiring.register("Ada"))["id"]
    await set_capacity(1)
    await open_api.ingest.lines.poll()
    await open_api.accept()
    assert await refused(hiring.apply(ada, job, payload="p")) == (429, "RATE_LIMITED")
    assert (await hiring.job(job))["activeCount"] == 0
    assert (await hiring.apply(ada, job))["status"] == "ACTIVE"
