"""``GET /healthz`` of the contract: whether the process lives."""

from typing import Literal

from fastapi import Response
from pydantic import BaseModel

from shortlist.ingest.api.answers import answer
from shortlist.ingest.api.route import resource

router = resource("health")


class Alive(BaseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", response_model=Alive)
async def healthz() -> Response:
    """Say that the process lives."""
    return answer(Alive())
