"""Our operator and the real KEDA, on the same traces, with the chart's own workers.

KEDA must run in the cluster. It reads the line as its users would: trigger ``redis-streams`` on the
stream's length, which counts what waits and, as an entry is deleted when its application is scored,
what is being scored. Default: the trigger's and KEDA's own defaults. Tuned: as in
docs/autoscaling-figures.md. KEDA does not size pools, so under it each worker has all connections
that it can use from the beginning.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadtest.cluster.release import installed, resize_workers
from loadtest.simulation.loads import Load, Setup, bursts, draw
from shortlist.domain.line.application import PipelineName
from shortlist.storage import snapshots
from shortlist.storage.redis import keys
from shortlist_operator.kubernetes.members import is_over, read_pod
from testkit.kubernetes.pipelines import Pipeline
from tools.markdown import table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from testkit.kubernetes.cluster import Cluster

NAME = PipelineName("default")
SETUP = Setup(max_replicas=8)
SEED = 1
PATIENCE_SECONDS = 300.0
_QUERY_TIMEOUT_SECONDS = 30.0
LOADS = (
    Load(
        "burst from idle: 60 s of 20/s",
        bursts(0, 20, every_seconds=1000, length_seconds=60, first_at=20),
        peak_rate=20,
        setup=SETUP,
        horizon_seconds=240,
    ),
    Load(
        "steady 4/s, each minute 10 s of 30/s",
        bursts(4, 30, every_seconds=60, length_seconds=10, first_at=60),
        peak_rate=30,
        setup=SETUP,
        horizon_seconds=240,
    ),
)

VALUES: dict[str, Any] = {
    "networkPolicy": {"enabled": False},  # KEDA, in another namespace, reads the line
    "pipeline": {
        "spec": {
            "worker": {"concurrency": SETUP.concurrency},
            "scorer": {
                "kind": "simulated",
                "serviceSeconds": SETUP.mean_service_seconds,
                "serviceCv": SETUP.service_cv,
            },
            "scaling": {"minReplicas": 0, "maxReplicas": SETUP.max_replicas},
        }
    },
}

KEDA_DEFAULT: dict[str, Any] = {"triggers": [{"metadata": {"streamLength": "5"}}]}
KEDA_TUNED: dict[str, Any] = {
    "pollingInterval": 2,
    "cooldownPeriod": 60,
    "advanced": {
        "horizontalPodAutoscalerConfig": {
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}],
                },
                "scaleDown": {
                    "stabilizationWindowSeconds": 60,
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
                },
            }
        }
    },
    "triggers": [{"metadata": {"streamLength": str(round(0.8 * SETUP.concurrency))}}],
}
SCALERS: dict[str, dict[str, Any] | None] = {
    "KEDA default": KEDA_DEFAULT,
    "KEDA tuned": KEDA_TUNED,
    "Shortlist": None,
}

_FIGURES = """
SELECT extract(epoch FROM r.finished_at - a.accepted_at)::float8 AS seconds,
       (SELECT count(*) FROM attempts t WHERE t.application_id = a.id) AS attempts
FROM applications a JOIN results r ON r.application_id = a.id
WHERE a.id = ANY($1) ORDER BY 1
"""


@dataclass(slots=True)
class Watched:
    """What was seen each second."""

    replica_seconds: float = 0.0
    """Pods that exist, those that start and those that end too, by time."""
    peak_replicas: int = 0
    peak_connections: int = 0
    longest_gap_seconds: float = 0.0
    """Between two looks: more than a few seconds, and the figures say more of the machine."""
    start_seconds: dict[str, float] = field(default_factory=dict)
    """Each pod that got ready, and how long after it was made."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One scaler on one trace."""

    p99_seconds: float
    replica_seconds: float
    interrupted: int
    """Applications that needed more than one attempt."""
    peak_connections: int
    peak_replicas: int
    started: int
    start_seconds: float
    """Median time from a worker's pod being made to its being ready: how busy the machine was."""
    refused: int
    """Answers that were not 202."""
    longest_gap_seconds: float


async def run() -> str:
    """Every scaler on every trace. The table."""
    async with installed("keda", VALUES) as cluster:
        return _report(
            [
                (load, [await _run_one(cluster, load, scaler) for scaler in SCALERS])
                for load in LOADS
            ]
        )


async def _run_one(cluster: Cluster, load: Load, scaler: str) -> Figures:
    async with _scaled_by(cluster, SCALERS[scaler]):
        figures = await _measure(cluster, load)
        print(f"{load.name}, {scaler}: {figures}", flush=True)
        return figures


@asynccontextmanager
async def _scaled_by(cluster: Cluster, keda: dict[str, Any] | None) -> AsyncIterator[None]:
    """From no worker on, one scaler sizes them: KEDA with these settings, or (None) ours."""
    operator = cluster.deployments(cluster.part("operator"))
    await cluster.scale(operator, 0)
    await cluster.until_none("operator")
    full_pool = SETUP.concurrency + SETUP.overhead_per_worker
    first = SETUP.overhead_per_worker + 1
    await resize_workers(cluster, 0, initial_grant=first if keda is None else full_pool)
    if keda is None:
        await cluster.scale(operator, 1)
        await cluster.until_ready("operator")
        yield
    else:
        manifests = list(_keda_manifests(cluster, keda))
        for manifest in manifests:
            await cluster.apply(manifest)
        yield
        for manifest in manifests:
            await cluster.delete(f"{cluster.path_of(manifest)}/{manifest['metadata']['name']}")


def _keda_manifests(cluster: Cluster, settings: dict[str, Any]) -> list[dict[str, Any]]:
    secret = {"name": cluster.part("servers"), "key": "REDIS_PASSWORD", "parameter": "password"}
    address = f"{cluster.part('redis')}.{cluster.namespace}.svc.cluster.local:6379"
    (trigger,) = settings["triggers"]
    spec = settings | {
        "scaleTargetRef": {"name": cluster.part("worker")},
        "minReplicaCount": 0,
        "maxReplicaCount": SETUP.max_replicas,
        "triggers": [
            {
                "type": "redis-streams",
                "metadata": {"address": address, "stream": keys.line(NAME)} | trigger["metadata"],
                "authenticationRef": {"name": "line"},
            }
        ],
    }
    return [
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": kind,
            "metadata": {"name": "line"},
            "spec": content,
        }
        for kind, content in {
            "TriggerAuthentication": {"secretTargetRef": [secret]},
            "ScaledObject": spec,
        }.items()
    ]


async def _measure(cluster: Cluster, load: Load) -> Figures:
    pipeline, watched = Pipeline(cluster, NAME), Watched()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(cluster, watched))
        await _play(pipeline, draw(load, SEED).arrivals, load.horizon_seconds)
        watching.cancel()
    await pipeline.settle(within_seconds=PATIENCE_SECONDS)
    books = await cluster.query(_FIGURES, list(pipeline.accepted))
    return Figures(
        p99_seconds=books[math.ceil(0.99 * len(books)) - 1]["seconds"],
        replica_seconds=watched.replica_seconds,
        interrupted=sum(row["attempts"] > 1 for row in books),
        peak_connections=watched.peak_connections,
        peak_replicas=watched.peak_replicas,
        started=len(watched.start_seconds),
        start_seconds=statistics.median(watched.start_seconds.values()),
        refused=len(pipeline.refused),
        longest_gap_seconds=watched.longest_gap_seconds,
    )


async def _play(pipeline: Pipeline, arrivals: Sequence[float], horizon_seconds: float) -> None:
    """Submit at these seconds, however long each answer takes; returns at the horizon."""
    started = time.monotonic()
    async with asyncio.TaskGroup() as posts:
        for at in [*arrivals, horizon_seconds]:
            await asyncio.sleep(started + at - time.monotonic())
            if at < horizon_seconds:
                posts.create_task(pipeline.post())


async def _watch(cluster: Cluster, watched: Watched) -> None:
    """Look each second. A look that takes too long ends the run: its figures would be wrong."""
    async with cluster.database() as database:
        seen = time.monotonic()
        while True:
            async with asyncio.timeout(_QUERY_TIMEOUT_SECONDS):
                found = await cluster.pods_of("worker")
                opened = (await snapshots.read_connections(database)).open_by_worker
            now = time.monotonic()
            pods = [pod for pod in found if not is_over(pod)]
            watched.replica_seconds += len(pods) * (now - seen)
            watched.longest_gap_seconds = max(watched.longest_gap_seconds, now - seen)
            seen = now
            watched.peak_replicas = max(watched.peak_replicas, len(pods))
            watched.peak_connections = max(watched.peak_connections, sum(opened.values()))
            for pod in map(read_pod, pods):
                if pod.ready_at is not None:
                    watched.start_seconds[pod.name] = pod.ready_at - pod.created_at
            await asyncio.sleep(1)


def _report(rows: list[tuple[Load, list[Figures]]]) -> str:
    shown = table(
        ["trace", *SCALERS],
        [
            [load.name, *(f"{f.p99_seconds:.1f} / {f.replica_seconds:.0f}" for f in figures)]
            for load, figures in rows
        ],
    )
    others = table(
        ["trace", *SCALERS],
        [
            [
                load.name,
                *(
                    f"{f.interrupted} / {f.peak_connections} / {f.peak_replicas} / {f.started}"
                    f" / {f.start_seconds:.0f} s"
                    for f in figures
                ),
            ]
            for load, figures in rows
        ],
    )
    refused = sum(f.refused for _, figures in rows for f in figures)
    gap = max(f.longest_gap_seconds for _, figures in rows for f in figures)
    lengths = " and ".join(f"{load.horizon_seconds:.0f}" for load, _ in rows)
    return (
        f"p99 submit-to-scored in s / replica-seconds, in {lengths} s:\n\n{shown}\n\n"
        "Scores interrupted / connections at peak / pods at peak / workers started / their median "
        "time to be ready:\n\n"
        f"{others}\n\nOne run each, the same arrivals for all three, at most {SETUP.max_replicas} "
        f"workers of {SETUP.concurrency}. Applications refused: {refused}.\n"
        f"Looked at each second; the longest time between two looks: {gap:.1f} s."
    )
