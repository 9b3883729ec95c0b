"""The workers' Deployment that the operator makes and keeps, where there is no workerRef."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from shortlist_operator.kubernetes import desired
from shortlist_operator.kubernetes.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist.domain.sizing.pipeline import ScoringPipeline
    from shortlist_operator.kubernetes.kube import Json, Kube
    from shortlist_operator.settings import OperatorSettings

    Note = Callable[[str, str, str], None]

_APPLY_SECONDS = 30.0
"""So often it is applied though the resource did not change: a person may have edited it."""


class OwnDeployment:
    """Of one pipeline."""

    def __init__(self, kube: Kube, note: Note, settings: OperatorSettings, namespace: str) -> None:
        """``note``: takes an event's type, reason and message; it is told that it was made."""
        self._kube = kube
        self._note = note
        self._settings = settings
        self._namespace = namespace
        self._applied: tuple[float, object] = (0.0, None)
        self.refused: str | None = None
        """Why it is not as the resource says, when the API server says that it cannot be."""

    async def keep(self, resource: Json, pipeline: ScoringPipeline) -> None:
        """Make it, and apply the resource when that changed or some time has passed."""
        if pipeline.worker.template is None:
            self.refused = None
            return
        version = (resource["metadata"]["uid"], resource["metadata"]["generation"])
        applied_at, applied = self._applied
        if version == applied and time.monotonic() - applied_at < _APPLY_SECONDS:
            return
        self.refused = None
        try:
            await self._apply(resource, pipeline)
        except KubeError as error:
            if not error.is_refusal:
                raise
            self.refused = str(error)
        self._applied = (time.monotonic(), version)

    def is_missing(self) -> None:
        """Have it made anew in the next tick, as it is missing, unless that was just refused."""
        if self.refused is None:
            self._applied = (0.0, None)

    async def _apply(self, resource: Json, pipeline: ScoringPipeline) -> None:
        name = desired.deployment_name(pipeline)
        found = await self._kube.deployment(self._namespace, name)
        if found is not None and not may_size(found, pipeline):
            raise KubeError(HTTPStatus.CONFLICT, f"Deployment {name} belongs to another owner")
        manifest = desired.worker_deployment(
            pipeline,
            owner=resource,
            instance=self._settings.operator_instance,
            database_secret=self._settings.database_secret,
            redis_secret=self._settings.redis_secret,
        )
        if found is None:
            least = pipeline.scaling.min_replicas
            await self._kube.create_deployment(self._namespace, manifest, replicas=least)
            self._note("Normal", "DeploymentCreated", "The workers' Deployment is made.")
        await self._kube.apply_deployment(self._namespace, manifest)


def may_size(deployment: Json, pipeline: ScoringPipeline) -> bool:
    """Tell if it is what workerRef means, or what we made: another's of that name is left alone."""
    labels = deployment["metadata"].get("labels", {})
    return (
        pipeline.worker_ref is not None or desired.worker_labels(pipeline).items() <= labels.items()
    )
