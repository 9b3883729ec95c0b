"""What the dashboard may be told."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from shortlist.settings.base import CommonSettings
from shortlist.urls import DatabaseUrl


class DashboardSettings(CommonSettings):
    """What the dashboard may be told."""

    reader_database_url: DatabaseUrl = Field(
        DatabaseUrl(""),
        validation_alias=AliasChoices("reader_database_url", "READER_DATABASE_URL"),
        description="Postgres for the dashboard, by a role that only reads; unset: DATABASE_URL.",
    )

    @property
    def read_url(self) -> DatabaseUrl:
        """What the dashboard connects by."""
        return self.reader_database_url or self.database_url
