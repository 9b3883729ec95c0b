"""One pipeline's loop: each second look, decide, act, tell. An ordered list of small steps.

It never acts without the Lease, or on figures that it could not read: then replicas and grants stay
as they are. On a target that another controller sizes, or in a dry run, it only grants connections.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from shortlist.domain.errors import message_of
from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing import scaling
from shortlist.domain.sizing.controller import PipelineController
from shortlist.domain.sizing.fleet import StartTimes
from shortlist.domain.sizing.pipeline import InvalidPipelineError, ScoringPipeline, parse_pipeline
from shortlist.storage.faults import is_outage
from shortlist.storage.redis import heartbeats
from shortlist_operator import metrics
from shortlist_operator.kubernetes import desired, members
from shortlist_operator.kubernetes.kube import KubeError
from shortlist_operator.kubernetes.owned_deployment import OwnDeployment, may_size
from shortlist_operator.observation import RolloutStrategy, Sight, is_rolling
from shortlist_operator.reporting.reporter import Reporter
from shortlist_operator.reporting.status import Tick

if TYPE_CHECKING:
    from shortlist.domain.sizing.controller import DrainChange
    from shortlist.storage.snapshots import LineSnapshot
    from shortlist_operator.budget import Budget
    from shortlist_operator.kubernetes.kube import Json, Kube
    from shortlist_operator.kubernetes.lease import OperatorLease
    from shortlist_operator.observe import Observer
    from shortlist_operator.settings import OperatorSettings

log = structlog.get_logger(__name__)

_VICTIM_COST = "-1000"
_SCALER_POLL_INTERVAL_SECONDS = 10.0


class PipelineLoop:
    """Sizes the workers of one ScoringPipeline and their connections."""

    def __init__(
        self,
        kube: Kube,
        observer: Observer,
        lease: OperatorLease,
        budget: Budget,
        settings: OperatorSettings,
        namespace: str,
        name: str,
    ) -> None:
        """``budget`` is shared with the other pipelines of the namespace."""
        self._kube = kube
        self._observer = observer
        self._lease = lease
        self._budget = budget
        self._namespace = namespace
        self._name = PipelineName(name)
        self._controller = PipelineController()
        self._starts = StartTimes()
        self._first_seen: dict[str, float] = {}
        self._last_line: LineSnapshot | None = None
        self._conflict: tuple[float, str | None] = (-_SCALER_POLL_INTERVAL_SECONDS, None)
        self._known: tuple[int, str] | None = None
        """The capacity that Postgres was told, and which run of Postgres that was."""
        self._reporter = Reporter(kube, namespace, name)
        self._own = OwnDeployment(kube, self._reporter.note, settings, namespace)
        budget.expect(self._name)
        self.last_tick = time.monotonic()

    async def run(self) -> None:
        """Tick until the resource is gone. Whatever goes wrong, look again: never be blind."""
        while True:
            started = time.monotonic()
            interval = 1.0
            resource: Json | None = None
            try:
                with metrics.TICK_SECONDS.labels(self._name).time():
                    resource = await self._kube.pipeline(self._namespace, self._name)
                    if resource is None:
                        self._budget.forget(self._name)
                        metrics.forget(self._name)
                        return
                    interval = await self._tick(resource)
            except KubeError as error:
                self._failed_at_kubernetes(error)
            except Exception as error:  # `is_outage` decides
                await self._failed(resource, error)
            self._budget.ticked(self._name)
            self.last_tick = time.monotonic()
            await asyncio.sleep(max(0.05, interval - (time.monotonic() - started)))

    async def _tick(self, resource: Json) -> float:
        try:
            pipeline = parse_pipeline(resource)
        except InvalidPipelineError as error:
            await self._reporter.report(resource, Tick(invalid=str(error)), acting=self._lease.held)
            return 1.0
        interval = pipeline.scaling.interval_seconds
        await self._ensure_known(pipeline)
        target = desired.deployment_name(pipeline)
        if self._lease.held:
            await self._own.keep(resource, pipeline)
        deployment = await self._kube.deployment(self._namespace, target)
        if deployment is None or not may_size(deployment, pipeline):
            self._budget.forget(self._name)  # what its workers hold, Postgres says
            self._own.is_missing()
            tick = Tick(pipeline=pipeline, target_missing=target, refused=self._own.refused)
            await self._reporter.report(resource, tick, acting=self._lease.held)
            return interval
        sight = await self._observe(deployment)
        self._budget.see(pipeline, sight)
        budget = self._budget_of(pipeline, sight)
        decision = self._decide(pipeline, sight, budget)
        tick = Tick(
            pipeline=pipeline,
            sight=sight,
            decision=decision,
            conflict=await self._other_scaler(resource, target),
            refused=self._own.refused,
            budget=budget,
        )
        if self._lease.held:
            try:
                if tick.conflict is None and pipeline.scaling.mode != "DryRun":
                    await self._act(pipeline, target, tick)
                else:  # another controller sizes the workers; their connections are granted
                    await self._grant(pipeline, sight, 0)
            except KubeError as error:
                if not error.is_refusal:
                    raise
                self._failed_at_kubernetes(error)
                tick = replace(tick, failed=f"The API server refuses to size the workers: {error}")
        await self._reporter.report(resource, tick, acting=self._lease.held)
        return interval

    def _failed_at_kubernetes(self, error: KubeError) -> None:
        metrics.TICK_FAILURES.labels(self._name, "kubernetes").inc()
        log.warning("kubernetes_unavailable", pipeline=self._name, error=str(error))

    async def _failed(self, resource: Json | None, error: Exception) -> None:
        if is_outage(error):  # only Redis is asked for anything that a tick cannot do without
            metrics.TICK_FAILURES.labels(self._name, "redis").inc()
            log.warning("redis_unavailable", pipeline=self._name, error=message_of(error))
            return
        metrics.TICK_FAILURES.labels(self._name, "bug").inc()
        log.error("tick_failed", pipeline=self._name, exc_info=error)
        await self._report_failure(resource, error)

    async def _report_failure(self, resource: Json | None, error: Exception) -> None:
        if resource is None:
            return
        failed = f"The operator failed, and its log says where: {error!r}"
        with suppress(Exception):  # reporting may be what fails; the metric has it
            await self._reporter.report(resource, Tick(failed=failed), acting=self._lease.held)

    # --- observe

    async def _observe(self, deployment: Json) -> Sight:
        raw = await self._kube.pods(self._namespace, deployment["spec"]["selector"])
        pods = tuple(members.read_pod(pod) for pod in raw if not members.is_over(pod))
        line, connections, errors = None, None, {}
        try:
            line = self._last_line = await self._observer.line(self._name)
        except Exception as error:
            if not is_outage(error):
                raise
            errors["redis"] = f"The line cannot be read: {message_of(error)}"
        try:
            connections = await self._observer.connections()
        except Exception as error:
            if not is_outage(error):
                raise
            errors["postgres"] = f"Postgres cannot be read: {message_of(error)}"
        known = self._last_line
        open_by_worker = connections.open_by_worker if connections is not None else {}
        self._starts.see(
            {p.name: p.ready_at - p.created_at for p in pods if p.ready_at is not None}
        )
        return Sight(
            pods=pods,
            members=tuple(members.members(known, pods, open_by_worker))
            if known is not None
            else (),
            replicas=int(deployment["spec"].get("replicas", 1)),
            rolling=is_rolling(deployment),
            strategy=RolloutStrategy.of(deployment),
            line=line,
            connections=connections,
            errors=errors,
        )

    async def _other_scaler(self, resource: Json, target: str) -> str | None:
        """Find the other controller of the target; of two ScoringPipelines the elder sizes it."""
        read_at, conflict = self._conflict
        if time.monotonic() - read_at >= _SCALER_POLL_INTERVAL_SECONDS:
            others = await self._kube.other_scalers(self._namespace, target)
            others += [
                f"ScoringPipeline/{other['metadata']['name']}"
                for other in await self._kube.pipelines(self._namespace)
                if _target_of(other) == target and _seniority(other) < _seniority(resource)
            ]
            conflict = others[0] if others else None
            self._conflict = (time.monotonic(), conflict)
        return conflict

    # --- decide

    def _decide(
        self, pipeline: ScoringPipeline, sight: Sight, budget: int | None
    ) -> scaling.ScalingDecision:
        now = time.monotonic()
        first_seen = {pod.name: self._first_seen.get(pod.name, now) for pod in sight.staying}
        self._first_seen = first_seen
        observation = scaling.Observation(
            now=now,
            replicas=sight.replicas,
            workers=tuple(m.worker for m in sight.members if not m.leaving),
            starting_ages_seconds=tuple(
                now - first_seen[pod.name] for pod in sight.staying if pod.ready_at is None
            ),
            line=sight.line.reading if sight.line is not None else None,
            budget=budget,
            start_p90_seconds=self._starts.p90_seconds(),
            throttled=sight.line is not None and sight.line.throttled,
        )
        return self._controller.decide(observation, pipeline)

    def _budget_of(self, pipeline: ScoringPipeline, sight: Sight) -> int | None:
        if sight.connections is None:
            return None
        total = sight.connections.budget(pipeline.connections.reserved)
        wanted = self._controller.connections_wanted(pipeline, sight.replicas)
        return self._budget.share(self._name, total, wanted)

    # --- act

    async def _ensure_known(self, pipeline: ScoringPipeline) -> None:
        """Tell Postgres of the pipeline, so that ingest accepts for it before any worker runs.

        Again when Postgres is another: one that was restored may not know it.
        """
        capacity = pipeline.line.capacity
        if self._known == (capacity, self._observer.server) or not self._lease.held:
            return
        try:
            await self._observer.make_known(pipeline)
        except Exception as error:
            if not is_outage(error):
                raise
            # Away, or its schema is not there yet: the next tick.
            log.warning("postgres_unavailable", pipeline=self._name, error=message_of(error))
        else:
            self._known = (capacity, self._observer.server)

    async def _act(self, pipeline: ScoringPipeline, target: str, tick: Tick) -> None:
        sight, decision = tick.sight, tick.decision
        assert sight is not None
        assert decision is not None
        wanted = max(0, decision.replicas - sight.replicas)
        room = await self._grant(pipeline, sight, wanted)
        removable = await self._plan_drain(pipeline, sight, decision)
        if wanted:
            await self._scale_out(target, sight, min(wanted, room), decision.reason)
        elif removable:
            await self._scale_in(target, sight, removable, decision.reason)

    async def _grant(self, pipeline: ScoringPipeline, sight: Sight, wanted: int) -> int:
        """Publish grants; how many more workers there are connections for."""
        if sight.line is None or sight.connections is None:
            return wanted if sight.line is None and sight.connections is not None else 0
        room = self._budget.allocate(pipeline, sight, wanted)
        if room.publish:
            grants = dict(room.publish)
            await heartbeats.publish_grants(self._observer.redis, self._name, grants)
        return room.new_workers

    async def _plan_drain(
        self, pipeline: ScoringPipeline, sight: Sight, decision: scaling.ScalingDecision
    ) -> set[str]:
        """Keep the drain set as it should be; names of pods that may be removed now."""
        if sight.line is None:
            return set()  # never scale in blindly; workers that drain go on
        workers = sight.worker_by_pod
        keep = decision.replicas if not sight.rolling else max(decision.replicas, len(workers))
        change = self._controller.drain(
            workers,
            keep,
            pipeline,
            reporting={member.worker.id for member in sight.members},
            standing=sight.line.draining,
            now=time.monotonic(),
        )
        if change.changed:
            self._note_drain(change)
            await heartbeats.set_draining(self._observer.redis, self._name, change.published)
        return set(change.removable)

    def _note_drain(self, change: DrainChange[str]) -> None:
        if change.drained:
            message = f"{len(change.drained)} workers take nothing more."
            self._reporter.note("Normal", "Draining", message)
        elif change.undrained:
            message = f"{len(change.published)} workers go on draining."
            self._reporter.note("Normal", "Undrained", message)

    async def _scale_out(self, target: str, sight: Sight, more: int, reason: str) -> None:
        if more <= 0 or not self._lease.held:  # the grants before it took calls
            return
        replicas = sight.replicas + more
        await self._kube.scale_deployment(self._namespace, target, replicas)
        metrics.SCALED.labels(self._name, "out").inc()
        self._reporter.note("Normal", "ScaledOut", f"{sight.replicas}→{replicas}: {reason}")

    async def _scale_in(self, target: str, sight: Sight, removable: set[str], reason: str) -> None:
        """Mark the victims, and no other pod, just before the change; then change."""
        replicas = max(0, len(sight.staying) - len(removable))
        if replicas >= sight.replicas:
            return
        for pod in sight.staying:
            if pod.name in removable:
                await self._kube.annotate_pod(
                    self._namespace, pod.name, {members.DELETION_COST: _VICTIM_COST}
                )
            elif pod.deletion_cost is not None:
                await self._kube.annotate_pod(
                    self._namespace, pod.name, {members.DELETION_COST: None}
                )
        if not self._lease.held:  # each mark took a call
            return
        await self._kube.scale_deployment(self._namespace, target, replicas)
        metrics.SCALED.labels(self._name, "in").inc()
        self._reporter.note("Normal", "ScaledIn", f"{sight.replicas}→{replicas}: {reason}")


def _target_of(resource: Json) -> str:
    """Name what a resource sizes, whether or not the rest of it is valid."""
    reference = resource.get("spec", {}).get("workerRef") or {}
    return str(reference.get("name") or f"{resource['metadata']['name']}-worker")


def _seniority(resource: Json) -> tuple[str, str]:
    metadata = resource["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["name"]
