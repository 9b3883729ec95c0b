"""A gentle load for hiring: applicants come, take offers or let them pass, and leave again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.hiring.seed.people import person

if TYPE_CHECKING:
    import random

    import httpx2

_PEOPLE = range(1_000_000, 1_100_000)
"""Their numbers: none of a seeded year's."""

_LINE_IS_LONG = 12
_LEAVES, _ANSWERS = 0.3, 0.5


class HiringDemo:
    """Plays applicants on the openings that are there, by a key with the scopes of both sides."""

    def __init__(self, client: httpx2.AsyncClient, chance: random.Random) -> None:
        """``client``: of ingest, with the key."""
        self._client = client
        self._chance = chance

    async def turn(self) -> None:
        """Let something happen at one opening; what is refused has not happened."""
        jobs = await self._get("/api/jobs")
        takes = [job for job in jobs or () if job["state"] == "open"]
        if not takes:
            return
        job = self._chance.choice(takes)
        detail = await self._get(f"/api/jobs/{job['id']}")
        if detail is None:
            return
        await self._answer_offers(detail["activeApplicants"])
        if self._chance.random() < _LEAVES or job["waitlistCount"] > _LINE_IS_LONG:
            await self._leave(detail["activeApplicants"] + detail["waitlistApplicants"])
        else:
            await self._apply(job["id"])

    async def _apply(self, job_id: int) -> None:
        who = person(self._chance.choice(_PEOPLE), self._chance)
        await self._post("/api/apply-public", name=who.name, email=who.email, jobId=job_id)

    async def _answer_offers(self, holders: list[dict[str, Any]]) -> None:
        for entry in holders:
            is_offer = entry["status"] == "PENDING_ACKNOWLEDGMENT"
            if is_offer and self._chance.random() < _ANSWERS:
                await self._post("/api/acknowledge", applicationId=entry["applicationId"])

    async def _leave(self, entries: list[dict[str, Any]]) -> None:
        if entries:
            leaving = self._chance.choice(entries)["applicationId"]
            await self._post("/api/withdraw", applicationId=leaving)

    async def _get(self, path: str) -> Any:
        answer = await self._client.get(path)
        return answer.json() if answer.is_success else None

    async def _post(self, path: str, **body: Any) -> None:
        await self._client.post(path, json=body)
