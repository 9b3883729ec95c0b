"""What the operator is told, beside the settings that it shares with every process.

``SHORTLIST_OPERATOR_NAMESPACE``: the one that it watches. ``SHORTLIST_OPERATOR_IDENTITY``: its own
name, by default the host's. ``SHORTLIST_DATABASE_SECRET``, ``SHORTLIST_REDIS_SECRET``: Secrets with
the keys DATABASE_URL and REDIS_URL for workers of pipelines without workerRef.
"""

from __future__ import annotations

import socket

from pydantic import Field

from shortlist.settings import CommonSettings


class OperatorSettings(CommonSettings):
    """`shortlist.settings.CommonSettings`, and what only the operator needs."""

    operator_namespace: str = Field("default", description="The namespace that it watches.")
    operator_identity: str = Field(
        default_factory=socket.gethostname, description="Who holds the Lease."
    )
    operator_lease: str = Field("shortlist-operator", description="The Lease's name.")
    operator_instance: str = Field("shortlist", description="The release it belongs to.")
    database_secret: str = Field("shortlist-servers", description="Has the key DATABASE_URL.")
    redis_secret: str = Field("shortlist-servers", description="Has the key REDIS_URL.")
