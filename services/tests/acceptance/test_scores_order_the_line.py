"""A payload is scored by a worker, and the line of its opening follows within a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from shortlist.storage import postgres
from testkit.waiting import until

if TYPE_CHECKING:
    from testkit.processes.place import Place

LATENESS = """
SELECT extract(epoch FROM e.at - s.finished_at)::float8 AS late
FROM opening_events e JOIN placement_scores s USING (placement_id) WHERE e.type = 's'
"""
APPLICANTS = 12


async def posted(http: aiohttp.ClientSession, path: str, **body: Any) -> dict[str, Any]:
    async with http.post(f"/api{path}", json=body) as answer:
        assert answer.status == 201, await answer.text()
        result: dict[str, Any] = await answer.json()
        return result


@pytest.mark.quiet
@pytest.mark.slow
async def test_scores_order_the_line_within_a_second(place: Place) -> None:
    async with (
        place.running("worker", "maintenance", auth="off", service_seconds=0.3) as run,
        aiohttp.ClientSession(run.ingest.url) as http,
    ):
        job = await posted(http, "/jobs", title="Baker", capacity=1, order="score")
        first = await posted(http, "/applicants", name="First", email="first@example.org")
        await posted(http, "/apply", applicantId=first["id"], jobId=job["id"])  # takes the place
        scoring: dict[int, str] = {}
        for number in range(APPLICANTS):
            person = await posted(http, "/applicants", name="A", email=f"{number}@example.org")
            text = f"application {number}"
            result = await posted(
                http, "/apply", applicantId=person["id"], jobId=job["id"], payload=text
            )
            scoring[result["applicationId"]] = result["scoringId"]
        scores = await scores_of(http, list(scoring.values()))
        expected = sorted(scoring, key=lambda one: (-scores[scoring[one]], one))
        assert expected != list(scoring), "the order is as they applied: this shows nothing"

        async def ordered() -> bool:
            async with http.get(f"/api/queue/{job['id']}") as answer:
                entries = (await answer.json())["waitlistEntries"]
            return [entry["applicationId"] for entry in entries] == expected

        await until(ordered, within_seconds=10, what="the line is ordered by score")
    db = await postgres.connect(place.database_url, application_name="test")
    late = [row["late"] for row in await db.fetch(LATENESS)]
    await db.close()
    assert len(late) == APPLICANTS
    assert max(late) <= 1.0


async def scores_of(http: aiohttp.ClientSession, ids: list[str]) -> dict[str, float]:
    """The score of each payload, once all are there."""
    found: dict[str, float] = {}

    async def scored() -> bool:
        for one in ids:
            async with http.get(f"/applications/{one}") as answer:
                told = await answer.json()
            if told["status"] == "scored":
                found[one] = told["score"]
        return len(found) == len(ids)

    await until(scored, within_seconds=60, what="all payloads are scored")
    return found
