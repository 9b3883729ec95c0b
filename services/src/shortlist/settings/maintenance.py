"""What maintenance may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shortlist.settings.base import CommonSettings


class MaintenanceSettings(CommonSettings):
    """What maintenance may be told."""

    retention_days: float = Field(
        90.0, ge=0, description="Finished applications are removed after this; 0: never."
    )
    retention_action: Literal["archive", "delete"] = Field(
        "delete", description="Whether removed applications are kept in archived_applications."
    )
    idempotency_hours: float = Field(
        24.0, gt=0, description="How long an Idempotency-Key is remembered."
    )
    hiring_retention_days: float = Field(
        0.0,
        ge=0,
        description="Applicants are erased who have no live application, and none that changed for"
        " so long; 0: never.",
    )
    maintenance_hiring_connections: int = Field(
        2,
        ge=1,
        description="Connections to Postgres with which a leader settles deadlines and scores.",
    )
