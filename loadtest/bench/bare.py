"""The bare FastAPI handler that our front door is compared with: it stores nothing.

``python -m loadtest.bench.bare PORT`` serves it.
"""

from __future__ import annotations

import itertools
import sys
from uuid import uuid4

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from loadtest.bench.serving import serve

app = FastAPI()
_CAMEL = ConfigDict(alias_generator=to_camel, populate_by_name=True)
_ids = itertools.count(1)


class Application(BaseModel):
    """What is posted."""

    candidate: str
    payload: str


@app.post("/applications", status_code=202)
async def accept(application: Application) -> dict[str, str]:  # noqa: ARG001 (stores nothing)
    """Answer with the same 202 as ours."""
    return {"id": str(uuid4()), "status": "pending"}


class Apply(BaseModel):
    """What an applicant posts to ``/api/apply``."""

    model_config = _CAMEL

    applicant_id: int
    job_id: int


class Result(BaseModel):
    """What they are answered."""

    model_config = _CAMEL

    application_id: int
    applicant_id: int
    job_id: int
    status: str
    queue_position: int | None
    message: str


@app.post("/api/apply", status_code=201)
async def apply(body: Apply) -> Result:
    """Answer with the same 201 as ours."""
    return Result(
        application_id=next(_ids),
        applicant_id=body.applicant_id,
        job_id=body.job_id,
        status="WAITLIST",
        queue_position=1000,
        message="You are number 1000 in line.",
    )


@app.get("/applications/{application_id}")
async def read(application_id: str) -> dict[str, str | float]:
    """Answer with the same 200 as ours, less what would have to be looked up."""
    return {"id": application_id, "candidate": "Ada", "status": "scored", "score": 50.0}


if __name__ == "__main__":
    serve(app, int(sys.argv[1]))
