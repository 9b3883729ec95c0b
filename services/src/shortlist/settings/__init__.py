"""Every setting, a class for each process: it reads and refuses only what it uses.

``shortlist settings [PROCESS]`` prints them with their source (`report`). ``docs/settings.md`` is
generated from these classes and checked against them.
"""

from shortlist.settings.base import (
    PREFIX,
    BadSettingsError,
    CommonSettings,
    environment,
    load,
    variable,
)
from shortlist.settings.dashboard import DashboardSettings
from shortlist.settings.ingest import IngestSettings
from shortlist.settings.maintenance import MaintenanceSettings
from shortlist.settings.migrate import MigrateSettings
from shortlist.settings.processes import DATABASE, PROCESSES, REDIS, SERVERS, Settings
from shortlist.settings.worker import WorkerSettings

__all__ = [
    "DATABASE",
    "PREFIX",
    "PROCESSES",
    "REDIS",
    "SERVERS",
    "BadSettingsError",
    "CommonSettings",
    "DashboardSettings",
    "IngestSettings",
    "MaintenanceSettings",
    "MigrateSettings",
    "Settings",
    "WorkerSettings",
    "environment",
    "load",
    "variable",
]
