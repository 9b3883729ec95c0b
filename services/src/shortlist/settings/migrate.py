"""What ``migrate`` may be told."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from shortlist.settings.dashboard import DashboardSettings
from shortlist.urls import DatabaseUrl


class MigrateSettings(DashboardSettings):
    """What ``migrate`` may be told: all roles, as it makes those that are missing."""

    admin_database_url: DatabaseUrl = Field(
        DatabaseUrl(""),
        validation_alias=AliasChoices("admin_database_url", "ADMIN_DATABASE_URL"),
        description="Postgres for `migrate`, by a superuser, to make the role of OWNER_DATABASE_URL"
        " and hand over what is there; unset: that role was made by others.",
    )
    owner_database_url: DatabaseUrl = Field(
        DatabaseUrl(""),
        validation_alias=AliasChoices("owner_database_url", "OWNER_DATABASE_URL"),
        description="Postgres for `migrate`, by the tables' owner; unset: DATABASE_URL.",
    )

    @property
    def owner_url(self) -> DatabaseUrl:
        """What ``migrate`` connects by."""
        return self.owner_database_url or self.database_url

    @property
    def owner_variable(self) -> str:
        """What says so."""
        return "OWNER_DATABASE_URL" if self.owner_database_url else "DATABASE_URL"
