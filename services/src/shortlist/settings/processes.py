"""Which settings and which servers each command needs."""

from __future__ import annotations

from shortlist.settings.base import CommonSettings
from shortlist.settings.dashboard import DashboardSettings
from shortlist.settings.ingest import IngestSettings
from shortlist.settings.maintenance import MaintenanceSettings
from shortlist.settings.migrate import MigrateSettings
from shortlist.settings.worker import WorkerSettings


class Settings(IngestSettings, WorkerSettings, MaintenanceSettings, MigrateSettings):
    """What ``shortlist up`` may be told: everything, as it hands it on to its processes."""


PROCESSES: dict[str, type[CommonSettings]] = {
    "ingest": IngestSettings,
    "worker": WorkerSettings,
    "maintenance": MaintenanceSettings,
    "dashboard": DashboardSettings,
    "migrate": MigrateSettings,
    "requeue": CommonSettings,
    "keys": CommonSettings,
    "audit": CommonSettings,
    "seed": CommonSettings,
    "demo": CommonSettings,
    "up": Settings,
}
"""By command."""

DATABASE, REDIS = ("database_url",), ("redis_url",)

SERVERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ingest": (DATABASE, REDIS),
    "worker": (DATABASE, REDIS),
    "maintenance": (DATABASE, REDIS),
    "dashboard": (("reader_database_url", "database_url"), REDIS),
    "migrate": (("owner_database_url", "database_url"),),
    "requeue": (DATABASE,),
    "keys": (DATABASE,),
    "audit": (DATABASE,),
    "seed": (DATABASE,),
}
"""By command: the servers without which it does not start; of each group one setting is enough."""
