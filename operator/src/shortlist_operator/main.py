"""The process: kopf watches ScoringPipelines; each gets one loop; a Lease lets one act.

What kopf is told, and why (learned from its issues):

- Events only, no daemons: a daemon puts a finalizer on the resource, and with the operator dead
  its deletion would then wait for ever. The loop reads the resource anew each second anyway, so a
  watch that stalls costs nothing but the discovery of new ones, and a listing finds those.
- ``request_timeout``: the default of 300 s would hang on a half-open connection.
- ``error_backoffs`` without an end: by default kopf gives up, and the process with it, when the
  API server refuses for a minute. The kubelet would restart it later each time.
- Namespaced, scanning disabled: the Role allows no more.
- Peering is no leader election: `shortlist_operator.kubernetes.lease` is.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import kopf
import structlog

from shortlist.runtime import exit_codes, probes, process, tasks
from shortlist.settings import DATABASE, REDIS, BadSettingsError, load
from shortlist.storage import redis
from shortlist_operator import metrics
from shortlist_operator.budget import Budget
from shortlist_operator.kubernetes.kube import Kube, KubeError
from shortlist_operator.kubernetes.lease import RENEW_SECONDS, OperatorLease
from shortlist_operator.kubernetes.login import kopf_login
from shortlist_operator.observe import Observer
from shortlist_operator.reconcile import PipelineLoop
from shortlist_operator.settings import OperatorSettings

if TYPE_CHECKING:
    from shortlist.runtime.process import Stopping

log = structlog.get_logger(__name__)

_LIST_SECONDS = 5.0
_RETRY_SECONDS = 2.0
_STALE_SECONDS = 90.0
"""A loop that has not gone round for so long hangs: a tick is about a dozen calls, and each ends
within 5 s, also when the API server is so slow that all of them nearly fail."""


def main() -> int:
    """Watch, and size what is found, until told to stop; the exit code."""
    try:
        settings = load(OperatorSettings, {}, (DATABASE, REDIS))
    except BadSettingsError as error:
        sys.stderr.write(f"shortlist-operator: {error}\n")
        return exit_codes.USAGE
    return asyncio.run(process.run("operator", settings, _operate))


async def _operate(settings: OperatorSettings, stopping: Stopping) -> None:
    operator = Operator(settings, Kube())
    try:
        await operator.run(stopping)
    finally:
        await operator.close()


class Operator:
    """The loops of one namespace's pipelines."""

    def __init__(self, settings: OperatorSettings, kube: Kube) -> None:
        """Nothing runs before `run`."""
        self._settings = settings
        self._kube = kube
        self._namespace = settings.operator_namespace
        self._lease = OperatorLease(
            kube, self._namespace, settings.operator_identity, settings.operator_lease
        )
        self._observer = Observer(settings.database_url, redis.connect(settings.redis_url))
        self._budget = Budget()
        self._loops: dict[str, PipelineLoop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_listed = False
        """Before all pipelines are known, none is sized: they share a budget."""

    async def run(self, stopping: Stopping) -> None:
        """Wait until told to stop; then give up the Lease; replicas and grants stay as they are."""
        app = probes.probe_app(readiness=self._readiness, liveness=self._liveness)
        async with probes.serve_only_probes(app, self._settings):
            background: list[asyncio.Task[None]] = [
                asyncio.create_task(self._keep_lease(), name="lease"),
                asyncio.create_task(self._keep_listing(), name="listing"),
                asyncio.create_task(self._watch(stopping), name="watch"),
            ]
            told = asyncio.create_task(stopping.drain.wait())
            everything: set[asyncio.Task[Any]] = {told, *background}
            done, _ = await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            stopping.drain.set()
            loops = [*background[:2], *self._tasks.values()]
            await tasks.end(loops)
            await asyncio.gather(*background, *loops, return_exceptions=True)
            with contextlib.suppress(KubeError):
                await self._lease.give_up()
            for task in done - {told}:
                task.result()  # it broke: say so by the exit code

    async def close(self) -> None:
        """Give back what it holds."""
        await self._observer.close()
        await self._kube.close()

    async def _watch(self, stopping: Stopping) -> None:
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # each status is an event
        registry = kopf.OperatorRegistry()

        kopf.on.login(registry=registry)(kopf_login)

        @kopf.on.event("shortlist.dev", "v1alpha1", "scoringpipelines", registry=registry)
        async def changed(name: str, **about: Any) -> None:
            if self._is_listed and about["type"] != "DELETED":
                self._ensure_loop(name)

        settings = kopf.OperatorSettings()
        settings.networking.request_timeout = 10
        settings.networking.error_backoffs = itertools.repeat(_RETRY_SECONDS)
        settings.scanning.disabled = True
        settings.posting.reporting_component = "shortlist-operator"
        others = asyncio.all_tasks()
        watching = await kopf.spawn_tasks(
            registry=registry,
            settings=settings,
            identity=cast("Any", self._settings.operator_identity),  # or it looks for a user
            namespaces=[self._namespace],
            standalone=True,
            stop_flag=stopping.drain,
        )
        stopping.listen()  # kopf took the signals, and knows of no second one
        await kopf.run_tasks(watching, ignored=others)

    async def _keep_listing(self) -> None:
        """Find what a stalled watch did not tell."""
        while True:
            try:
                for resource in await self._kube.pipelines(self._namespace):
                    self._ensure_loop(resource["metadata"]["name"])
                self._is_listed = True
            except KubeError as error:
                log.warning("kubernetes_unavailable", doing="listing", error=str(error))
            await asyncio.sleep(_LIST_SECONDS)

    async def _keep_lease(self) -> None:
        while True:
            await self._lease.keep()
            metrics.ACTING.set(self._lease.held)
            await asyncio.sleep(RENEW_SECONDS)

    def _ensure_loop(self, name: str) -> None:
        if name in self._tasks and not self._tasks[name].done():
            return
        loop = PipelineLoop(
            self._kube,
            self._observer,
            self._lease,
            self._budget,
            self._settings,
            self._namespace,
            name,
        )
        self._loops[name] = loop
        self._tasks[name] = asyncio.create_task(self._run_loop(name, loop), name=f"pipeline-{name}")

    async def _run_loop(self, name: str, loop: PipelineLoop) -> None:
        try:
            await loop.run()
        finally:
            if self._loops.get(name) is loop:
                del self._loops[name]

    async def _readiness(self) -> probes.Health:
        """Tell if the API server lets it see the pipelines; one without the Lease is ready, too."""
        return probes.Health(ok=self._is_listed, detail={"acting": self._lease.held})

    async def _liveness(self) -> probes.Health:
        """Dead when a loop hangs; a cluster or a server that is away is no reason to die."""
        now = time.monotonic()
        stale = [
            name for name, loop in self._loops.items() if now - loop.last_tick > _STALE_SECONDS
        ]
        return probes.Health(ok=not stale, detail={"stale": stale} if stale else {})
