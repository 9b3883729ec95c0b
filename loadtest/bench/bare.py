"""The bare FastAPI handler that our front door is compared with: it stores nothing.

``python -m loadtest.bench.bare PORT`` serves it the way FastAPI's documentation recommends:
uvicorn with uvloop and httptools, no access log.
"""

from __future__ import annotations

import sys
from uuid import uuid4

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Application(BaseModel):
    """What is posted."""

    candidate: str
    payload: str


@app.post("/applications", status_code=202)
async def accept(application: Application) -> dict[str, str]:  # noqa: ARG001 (stores nothing)
    """Answer with the same 202 as ours."""
    return {"id": str(uuid4()), "status": "pending"}


@app.get("/applications/{application_id}")
async def read(application_id: str) -> dict[str, str | float]:
    """Answer with the same 200 as ours, less what would have to be looked up."""
    return {"id": application_id, "candidate": "Ada", "status": "scored", "score": 50.0}


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
