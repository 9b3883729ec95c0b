"""Pipelines of a test: made, loaded, watched, audited and removed again."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

from shortlist.domain.line.application import PipelineName
from shortlist.domain.sizing.pipeline import API_VERSION, KIND, parse_pipeline
from shortlist.storage.redis import heartbeats
from shortlist_operator.kubernetes import desired
from testkit.kubernetes import unguarded_pods
from testkit.kubernetes.chart import merged
from testkit.kubernetes.cluster import PATIENCE_SECONDS, Refused, is_ready, names
from testkit.waiting import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.kubernetes.cluster import Cluster, Json

_BOOKS = """
SELECT a.id, r.status,
       (SELECT count(*) FROM attempts t WHERE t.application_id = a.id) AS attempts,
       (SELECT count(*) FROM audit_log l
        WHERE l.application_id = a.id AND l.event = 'scored') AS scored
FROM applications a LEFT JOIN results r ON r.application_id = a.id
WHERE a.pipeline = $1
"""

_UNFINISHED = """
SELECT count(*) FROM applications a
WHERE a.pipeline = $1 AND NOT EXISTS (SELECT FROM results r WHERE r.application_id = a.id)
"""

_POLL_INTERVAL_SECONDS = 0.25

QUICK: Json = {
    "worker": {"concurrency": 4, "drainTimeoutSeconds": 30},
    "scorer": {"kind": "simulated", "serviceSeconds": 1},
    "scaling": {"maxReplicas": 3, "idleSeconds": 3, "downWindowSeconds": 3},
}
"""A pipeline that goes up and down within a test's patience."""


class Pipelines:
    """Makes pipelines, and removes them."""

    def __init__(self, cluster: Cluster, image: Json) -> None:
        """``image``: what their workers run."""
        self._cluster = cluster
        self._image = f"{image['repository']}:{image['tag']}"
        self._made: list[Pipeline] = []

    async def make(self, *specs: Json, name: str | None = None) -> Pipeline:
        """A pipeline with workers of its own: `QUICK`, with ``specs`` laid over it.

        Returns when ingest accepts for it.
        """
        return await self._apply(self._resource(name, self._template(), *specs))

    async def refer(self, *specs: Json) -> tuple[Pipeline, Json]:
        """A pipeline with a workerRef, and the Deployment that it means: that is not there yet."""
        resource = self._resource(None, self._template(), *specs)
        servers = self._cluster.part("servers")
        deployment = desired.worker_deployment(
            parse_pipeline(resource),
            owner=merged(resource, {"metadata": {"uid": ""}}),
            instance=self._cluster.release.name,
            database_secret=servers,
            redis_secret=servers,
        )
        del deployment["metadata"]["ownerReferences"]
        del resource["spec"]["worker"]["template"]
        resource["spec"]["workerRef"] = {"name": deployment["metadata"]["name"]}
        return await self._apply(resource), deployment

    async def make_without(self, guards: str, *specs: Json) -> Pipeline:
        """Make a pipeline whose workers lack these guards.

        Their Deployment is the test's own: the operator's template has no place for a volume.
        """
        pipeline, deployment = await self.refer(*specs)
        template = deployment["spec"]["template"]
        deployment["spec"]["template"] = unguarded_pods.without_guards(template, guards)
        await self._cluster.apply(unguarded_pods.PATCHES)
        await self._cluster.apply(deployment)
        return pipeline

    async def remove(self) -> None:
        """Delete all, their Deployments too, without waiting for what their workers hold."""
        for pipeline in self._made:
            await self._cluster.delete(self._cluster.pipelines(pipeline.name))
            await self._cluster.delete(pipeline.deployment_path)
            await pipeline.until_gone()

    def _template(self) -> Json:
        template = {"image": self._image, "imagePullPolicy": "IfNotPresent"}
        return {"worker": {"template": template}}

    def _resource(self, name: str | None, *specs: Json) -> Json:
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name or f"t-{uuid4().hex[:8]}"},
            "spec": merged(QUICK, *specs),
        }

    async def _apply(self, resource: Json) -> Pipeline:
        pipeline = Pipeline(self._cluster, resource["metadata"]["name"])
        self._made.append(pipeline)
        await self._cluster.apply(resource)
        await pipeline.until_known()
        return pipeline


class Pipeline:
    """One pipeline, and the books of what was submitted to it."""

    def __init__(self, cluster: Cluster, name: str, deployment: str | None = None) -> None:
        """``name``: of the resource, and of the line; ``deployment``: another than its own."""
        self._cluster = cluster
        self._deployment = deployment or f"{name}-worker"
        self.name = name
        self.accepted: set[UUID] = set()
        self.refused: list[str] = []
        """Every answer that was not 202."""

    # --- the resource

    async def resource(self) -> Json:
        """As it is in the cluster now."""
        return await self._cluster.get(self._cluster.pipelines(self.name))

    async def status(self) -> Json:
        """What the operator wrote of it."""
        return cast("Json", (await self.resource()).get("status", {}))

    async def condition(self, kind: str) -> Json:
        """One of its conditions; empty before the operator saw it."""
        conditions = (await self.status()).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    async def until_condition(self, kind: str, status: str) -> Json:
        """Wait until a condition has this status; the condition."""

        async def said() -> Json | None:
            found = await self.condition(kind)
            return found if found.get("status") == status else None

        found = await self._cluster.until(said, what=f"{self.name}: {kind} is {status}")
        return cast("Json", found)

    async def change(self, spec: Json) -> None:
        """Merge this into its spec."""
        await self._cluster.patch(self._cluster.pipelines(self.name), {"spec": spec})

    async def reason(self) -> str:
        """Why it was decided as it was."""
        return str((await self.status()).get("decision", {}).get("reason", ""))

    async def wanted(self) -> int:
        """The workers that would be set if nothing but limits stood in the way."""
        return int((await self.status())["decision"]["inputs"]["wanted"])

    async def until_reason(self, beginning: str) -> None:
        """Wait until a decision's reason begins so."""

        async def decided() -> bool:
            return (await self.reason()).startswith(beginning)

        await self._cluster.until(decided, what=f"{self.name}: {beginning} …")

    async def roll(self) -> None:
        """Change the workers' template, so that each is replaced."""
        spec = (await self.resource())["spec"]
        template = spec["worker"]["template"]
        template["env"] = [{"name": "ROLLED", "value": uuid4().hex}]
        await self.change({"worker": {"template": template}})

    async def events(self, reason: str) -> list[str]:
        """What the operator said of it with this reason."""
        path = f"/api/v1/namespaces/{self._cluster.namespace}/events"
        listed = await self._cluster.get(f"{path}?fieldSelector=involvedObject.name={self.name}")
        return [item["message"] for item in listed["items"] if item["reason"] == reason]

    async def until_events(self, reason: str, count: int = 1) -> list[str]:
        """Wait until so much was said with this reason: they come after what they tell of."""

        async def said() -> list[str] | None:
            found = await self.events(reason)
            return found if len(found) >= count else None

        found = await self._cluster.until(said, what=f"{self.name}: {count} × {reason}")
        return sorted(cast("list[str]", found))

    # --- its workers

    @property
    def deployment_path(self) -> str:
        """Of its workers' Deployment."""
        return self._cluster.deployments(self._deployment)

    async def replicas(self) -> int:
        """What the Deployment is told to have; 0 before there is one."""
        found = await self._cluster.find(self.deployment_path)
        return 0 if found is None else int(found["spec"].get("replicas", 1))

    async def pods(self) -> list[Json]:
        """Its workers' pods, those that are going too."""
        return await self._cluster.pods({"shortlist.dev/pipeline": self.name})

    async def ready_pods(self) -> list[Json]:
        """Those that are ready and stay."""
        return [pod for pod in await self.pods() if is_ready(pod)]

    async def beats(self) -> list[heartbeats.Heartbeat]:
        """What its workers report."""
        async with self._cluster.redis() as redis:
            beats = await heartbeats.all_beats(redis, PipelineName(self.name))
        return [b for b in beats if time.time() - b.at <= heartbeats.STALE_AFTER_SECONDS]

    async def draining(self) -> set[str]:
        """Workers that are told to take nothing more."""
        async with self._cluster.redis() as redis:
            return await heartbeats.draining(redis, PipelineName(self.name))

    async def grants(self) -> dict[str, int]:
        """Worker → the connections that it was granted."""
        async with self._cluster.redis() as redis:
            grants = await heartbeats.all_grants(redis, PipelineName(self.name))
            return {worker: grant.connections for worker, grant in grants.items()}

    async def until_granted(self, connections: int, workers: int) -> None:
        """Wait until so many workers have read that they may hold so many connections."""

        async def granted() -> bool:
            beats = await self.beats()
            return sum(beat.grant == connections and beat.epoch > 0 for beat in beats) == workers

        await self._cluster.until(granted, what=f"{workers} × {connections} of {self.name} granted")

    async def until_limited_by(self, limit: str) -> None:
        """Wait until the policy says what keeps it from more workers."""

        async def limited() -> bool:
            decision = (await self.status()).get("decision", {})
            return bool(decision.get("limitedBy") == limit)

        await self._cluster.until(limited, what=f"{self.name} is limited by {limit}")

    async def until_draining(self, count: int) -> None:
        """Wait until so many workers are told to take nothing more."""

        async def told() -> bool:
            return len(await self.draining()) == count

        await self._cluster.until(told, what=f"{count} of {self.name} drain")

    async def until_ready(self, count: int) -> None:
        """Wait until so many workers are ready."""

        async def ready() -> bool:
            return len(await self.ready_pods()) == count

        await self._cluster.until(ready, what=f"{count} workers of {self.name} are ready")

    async def until_replicas(self, count: int, *, within_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the Deployment is told to have so many."""

        async def sized() -> bool:
            return await self.replicas() == count

        await self._cluster.until(
            sized, what=f"{count} replicas of {self.name}", within_seconds=within_seconds
        )

    async def until_in_flight(self, count: int) -> None:
        """Wait until its workers hold at least so many applications."""

        async def busy() -> bool:
            return sum(beat.in_flight for beat in await self.beats()) >= count

        await self._cluster.until(busy, what=f"{count} of {self.name} in flight")

    async def situation(self) -> Json:
        """All that a controller of its size can change."""
        return {
            "replicas": await self.replicas(),
            "pods": names(await self.pods()),
            "grants": await self.grants(),
            "draining": await self.draining(),
        }

    @asynccontextmanager
    async def unmoved(self) -> AsyncIterator[None]:
        """Check that no controller changes its size, for the length of a block."""
        before = await self.situation()

        async def look() -> None:
            while True:
                assert await self.situation() == before
                await asyncio.sleep(_POLL_INTERVAL_SECONDS)

        async with beside(look()):
            yield
        assert await self.situation() == before

    async def until_gone(self) -> None:
        """Wait until nothing of it is left in the cluster."""

        async def gone() -> bool:
            for pod in await self.pods():
                path = self._cluster.pod(pod["metadata"]["name"])
                await self._cluster.delete(path, grace_seconds=0)
            return await self._cluster.find(self.deployment_path) is None and not await self.pods()

        await self._cluster.until(gone, what=f"the workers of {self.name} are gone")

    # --- its line

    async def until_known(self) -> None:
        """Wait until ingest knows it: the operator has told Postgres."""

        async def known() -> bool:
            return bool(
                await self._cluster.query("SELECT FROM pipelines WHERE name = $1", self.name)
            )

        await self._cluster.until(known, what=f"Postgres knows {self.name}")

    async def post(self) -> None:
        """Submit one application through the Service."""
        path = f"/api/v1/namespaces/{self._cluster.namespace}/services"
        body = {"candidate": "Ada", "payload": uuid4().hex, "pipeline": self.name}
        try:
            reply = await self._cluster.call(
                "POST", f"{path}/{self._cluster.release.name}:http/proxy/applications", body
            )
        except (Refused, TimeoutError) as error:
            self.refused.append(str(error))
        else:
            self.accepted.add(UUID(reply["id"]))

    async def submit(self, count: int, *, at_once: int = 10) -> None:
        """Post so many, some side by side; all must be accepted."""
        left = iter(range(count))

        async def client() -> None:
            for _ in left:
                await self.post()

        await asyncio.gather(*(client() for _ in range(at_once)))
        assert not self.refused, self.refused[0]

    @asynccontextmanager
    async def load(self, per_second: float) -> AsyncIterator[None]:
        """Post at a rate for the length of a block; waits for the answers at its end."""
        posts: set[asyncio.Task[None]] = set()

        async def pace() -> None:
            started, sent = time.monotonic(), 0
            while True:
                due = int((time.monotonic() - started) * per_second) - sent
                sent += due
                for _ in range(due):
                    task = asyncio.create_task(self.post())
                    posts.add(task)
                    task.add_done_callback(posts.discard)
                await asyncio.sleep(0.02)

        async with beside(pace()):
            yield
        await asyncio.gather(*posts)

    async def settle(self, *, within_seconds: float = PATIENCE_SECONDS) -> list[Any]:
        """Wait until all that was accepted is scored; exactly once, or the test fails.

        Returns the books, a row for each application: id, status, attempts, scored.
        """
        assert self.accepted, "nothing was accepted: the test would prove nothing"

        async def finished() -> bool:
            return bool((await self._cluster.query(_UNFINISHED, self.name))[0][0] == 0)

        await self._cluster.until(
            finished, what=f"all of {self.name} is finished", within_seconds=within_seconds
        )
        books = await self._cluster.query(_BOOKS, self.name)
        lost = self.accepted - {row["id"] for row in books}
        assert not lost, f"lost: {len(lost)} of {len(self.accepted)} that got 202"
        wrong = [dict(row) for row in books if (row["status"], row["scored"]) != ("scored", 1)]
        assert not wrong, f"not scored exactly once: {wrong[:5]}"
        return books


def interrupted(books: list[Any]) -> int:
    """Applications that needed more than one attempt: a score of theirs was interrupted."""
    return sum(row["attempts"] > 1 for row in books)


__all__ = ["QUICK", "Pipeline", "Pipelines", "interrupted"]
