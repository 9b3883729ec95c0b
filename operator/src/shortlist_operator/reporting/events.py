"""Events of a resource: what `kubectl describe` shows that was done, and why."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from shortlist_operator.kubernetes.kube import KubeError, now_text

if TYPE_CHECKING:
    from shortlist_operator.kubernetes.kube import Json, Kube

log = structlog.get_logger(__name__)

_COMPONENT = "shortlist-operator"
_NOTES_KEPT = 100
_PASSING = 500
"""From this status on, and with none at all, a call may succeed when it is made again."""


class Events:
    """Creates each event of one resource once."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        """Begin without any."""
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._notes: deque[tuple[str, str, str]] = deque(maxlen=_NOTES_KEPT)

    def note(self, kind: str, reason: str, message: str) -> None:
        """Keep what is to be created as an event (``Normal`` or ``Warning``)."""
        self._notes.append((kind, reason, message))
        log.info("event", pipeline=self._name, reason=reason, message=message)

    def clear(self) -> None:
        """Forget what was noted: another operator acts."""
        self._notes.clear()

    async def create(self, resource: Json) -> None:
        """Create what was noted, in its order; what may pass raises, and is left for next time."""
        while self._notes:
            await self._create(_event(resource, *self._notes[0]))
            self._notes.popleft()

    async def _create(self, event: Json) -> None:
        try:
            await self._kube.create_event(self._namespace, event)
        except KubeError as error:
            if not error.status or error.status >= _PASSING:
                raise  # it is created in the next tick
            log.warning("event_refused", pipeline=self._name, error=str(error))


def _event(resource: Json, kind: str, reason: str, message: str) -> Json:
    now = now_text()
    metadata = resource["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name']}.{uuid4().hex[:12]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": _COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
