"""What maintenance may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shortlist.settings.base import CommonSettings


class MaintenanceSettings(CommonSettings):
    """What maintenance may be told."""

    maintenance_lease_seconds: float = Field(
        3.0, ge=1, description="A maintenance leader that says nothing for so long is replaced."
    )
    sweep_interval_seconds: float = Field(
        2.0, gt=0, description="How often maintenance looks for lost applications."
    )
    retention_days: float = Field(
        90.0, ge=0, description="Finished applications are removed after this; 0: never."
    )
    retention_action: Literal["archive", "delete"] = Field(
        "delete", description="Whether removed applications are kept in archived_applications."
    )
    idempotency_hours: float = Field(
        24.0, gt=0, description="How long an Idempotency-Key is remembered."
    )
