"""One operator acts: the one that holds the Lease (kopf's peering is no leader election).

The holder renews it every `RENEW_SECONDS`; after `DURATION_SECONDS` without a renewal another may
take it. The holder stops acting `SAFETY_SECONDS` before that, by its own clock, so that clocks
that run at slightly different speeds never let two act (the rule of client-go's leaderelection).
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import structlog

from shortlist_operator.kubernetes.kube import KubeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shortlist_operator.kubernetes.kube import Json, Kube

log = structlog.get_logger(__name__)

DURATION_SECONDS = 10
RENEW_SECONDS = 2.0
SAFETY_SECONDS = 3.0

_CONFLICT = 409


class OperatorLease:
    """The right to act in one namespace."""

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        identity: str,
        name: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``identity`` is this process's alone: a pod's name; ``clock`` only goes forward."""
        self._kube = kube
        self._namespace = namespace
        self._identity = identity
        self._name = name
        self._clock = clock
        self._held_until = clock()
        self._seen: tuple[str, float] = ("", 0.0)  # the last renewal that was seen, and when

    @property
    def held(self) -> bool:
        """Whether this process may act now."""
        return self._clock() < self._held_until

    async def keep(self) -> None:
        """Take it or renew it, once. Failures leave what is held to run out."""
        asked = self._clock()
        try:
            taken = await self._take_or_renew(asked)
        except KubeError as error:
            log.warning("lease_unavailable", error=str(error))
            return
        if taken and not self.held:
            log.info("acting", lease=self._name)
        self._held_until = asked + DURATION_SECONDS - SAFETY_SECONDS if taken else asked

    async def give_up(self) -> None:
        """Let the next one act at once; it may be ours though the answer that said so was lost."""
        self._held_until = self._clock()
        lease = await self._kube.lease(self._namespace, self._name)
        if lease and lease["spec"].get("holderIdentity") == self._identity:
            lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
            await self._kube.replace_lease(self._namespace, lease)

    async def _take_or_renew(self, now: float) -> bool:
        lease = await self._kube.lease(self._namespace, self._name)
        try:
            if lease is None:
                await self._kube.create_lease(self._namespace, self._new())
                return True
            lease.setdefault("spec", {})  # a person made it by hand
            if not self._may_take(lease, now):
                return False
            transitions = int(lease["spec"].get("leaseTransitions") or 0)
            mine = lease["spec"].get("holderIdentity") == self._identity
            lease["spec"] = self._spec(transitions if mine else transitions + 1)
            await self._kube.replace_lease(self._namespace, lease)
        except KubeError as error:
            if error.status == _CONFLICT:  # another operator was faster
                return False
            raise
        return True

    def _may_take(self, lease: Json, now: float) -> bool:
        """Tell whether it is ours, or given up, or was not renewed for its whole duration."""
        spec = lease["spec"]
        if spec.get("holderIdentity") in ("", None, self._identity):
            return True
        renewal = f"{spec.get('holderIdentity')} {spec.get('renewTime')}"
        if renewal != self._seen[0]:
            self._seen = (renewal, self._clock())  # an answer may be late: not when it was asked
        return now - self._seen[1] > float(spec.get("leaseDurationSeconds") or DURATION_SECONDS)

    def _new(self) -> Json:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(0),
        }

    def _spec(self, transitions: int) -> Json:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_SECONDS,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
