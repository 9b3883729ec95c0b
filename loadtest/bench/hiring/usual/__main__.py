"""``python -m loadtest.bench.hiring.usual PORT``; ``DATABASE_URL`` says where."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from loadtest.bench.hiring.usual import acts
from loadtest.bench.hiring.usual.models import make_engine
from loadtest.bench.serving import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.bench.hiring.usual.models import Application

_engine = make_engine(os.environ["DATABASE_URL"])
_sessions = async_sessionmaker(_engine, expire_on_commit=False)


@asynccontextmanager
async def _closing(_app: FastAPI) -> AsyncIterator[None]:
    yield
    await _engine.dispose()


app = FastAPI(lifespan=_closing)


async def _session() -> AsyncIterator[AsyncSession]:
    async with _sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Apply(_Model):
    """The body of ``/api/apply``."""

    applicant_id: int
    job_id: int


class Withdraw(_Model):
    """The body of ``/api/withdraw``."""

    application_id: int


class Result(_Model):
    """The contract's."""

    application_id: int
    applicant_id: int
    job_id: int
    status: str
    queue_position: int | None
    message: str


def _result(application: Application, message: str) -> Result:
    return Result(
        application_id=application.id,
        applicant_id=application.applicant_id,
        job_id=application.job_id,
        status=application.status,
        queue_position=application.queue_position,
        message=message,
    )


@app.post("/api/apply", status_code=201)
async def apply(body: Apply, session: Session) -> Result:
    """Apply, and answer once it is durable."""
    async with session.begin():
        application = await acts.apply(session, body.applicant_id, body.job_id)
    return _result(application, "Your application has been received.")


@app.post("/api/withdraw")
async def withdraw(body: Withdraw, session: Session) -> Result:
    """Withdraw, and answer once it is durable."""
    async with session.begin():
        application = await acts.withdraw(session, body.application_id)
    return _result(application, "Your application has been withdrawn.")


if __name__ == "__main__":
    serve(app, int(sys.argv[1]))
