"""The tables of the usual way, in a schema of their own, with the indexes that its queries want."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, MetaData, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CONNECTIONS = 5
"""SQLAlchemy's own default, and here the fastest of 5, 10, 20 and 64: fewer wait for one lock."""


def make_engine(database_url: str) -> AsyncEngine:
    """Make an engine. The driver reads the URL, whose options SQLAlchemy does not know."""
    return create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"dsn": database_url},
        pool_size=CONNECTIONS,
        max_overflow=0,
    )


class Status(StrEnum):
    """The contract's four."""

    ACTIVE = "ACTIVE"
    WAITLIST = "WAITLIST"
    PENDING = "PENDING_ACKNOWLEDGMENT"
    INACTIVE = "INACTIVE"


class Base(DeclarativeBase):
    """What all tables have."""

    metadata = MetaData(schema="usual")
    type_annotation_map = {dt.datetime: DateTime(timezone=True), dict[str, Any]: JSONB}  # noqa: RUF012 (as SQLAlchemy documents it)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class Job(Base):
    """An opening."""

    __tablename__ = "jobs"

    title: Mapped[str]
    capacity: Mapped[int]
    ack_window_seconds: Mapped[int] = mapped_column(server_default=text("300"))


class Applicant(Base):
    """A person."""

    __tablename__ = "applicants"

    name: Mapped[str]
    email: Mapped[str] = mapped_column(unique=True)


class Application(Base):
    """An applicant's standing in an opening. ``queue_position``: 1, 2, 3 … of those who wait."""

    __tablename__ = "applications"

    applicant_id: Mapped[int] = mapped_column(ForeignKey(Applicant.id))
    job_id: Mapped[int] = mapped_column(ForeignKey(Job.id))
    status: Mapped[str]
    queue_position: Mapped[int | None]
    penalty_count: Mapped[int] = mapped_column(server_default=text("0"))
    promoted_at: Mapped[dt.datetime | None]
    acknowledge_deadline: Mapped[dt.datetime | None]


Index(
    "live", Application.job_id, Application.applicant_id, unique=True,
    postgresql_where=Application.status != Status.INACTIVE,
)  # fmt: skip
Index(
    "line", Application.job_id, Application.queue_position,
    postgresql_where=Application.status == Status.WAITLIST,
)  # fmt: skip
Index(
    "held", Application.job_id,
    postgresql_where=Application.status.in_([Status.ACTIVE, Status.PENDING]),
)  # fmt: skip


class Event(Base):
    """What happened to an application."""

    __tablename__ = "events"

    application_id: Mapped[int] = mapped_column(ForeignKey(Application.id), index=True)
    event_type: Mapped[str]
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    details: Mapped[dict[str, Any]]
