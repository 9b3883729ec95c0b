"""Two operators, a worker and its servers as processes, each with a clock that is set.

The API server is `testkit.operator.api_server`; what it keeps of a Deployment and its pod is what a
cluster would: the pod is the worker process.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from shortlist.domain.line.application import DEFAULT_PIPELINE
from shortlist.domain.sizing.pipeline import ScoringPipeline
from shortlist.storage import redis
from shortlist.storage.redis import heartbeats, keys
from shortlist_operator.kubernetes import desired
from testkit.faults.clocks import GOES_ON_SECONDS, HOUR, OFFSETS, servers_by
from testkit.operator.api_server import ApiServer
from testkit.operator.kubeconfig import kubeconfig
from testkit.processes.faketime import Clock
from testkit.processes.place import Place
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from testkit.clients.ledger import Ledger
    from testkit.processes.stack import Service

Json = dict[str, Any]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.quiet,  # the API server is in the test's own process, and must answer in time
    pytest.mark.timeout(420, func_only=True),
]

CLOCKS = ("one", "other", "worker", "redis", "postgres")
PODS = "/api/v1/namespaces/prod/pods"
DEPLOYMENT = f"/apis/apps/v1/namespaces/prod/deployments/{DEFAULT_PIPELINE}-worker"
PIPELINE = f"/apis/shortlist.dev/v1alpha1/namespaces/prod/scoringpipelines/{DEFAULT_PIPELINE}"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/prod/leases/shortlist-operator"

WATCHED_SECONDS = 4.0
"""After each step, beside the time in which all goes on: the operator looks each second."""

OFF_SWITCH_SECONDS = 20.0
"""An off-switch watches for so long at most, and ends when it sees what goes wrong. An operator
that asks for the Lease in step with its holder is refused (409) time and again."""


@dataclass(frozen=True)
class Scene:
    """What a step is judged by."""

    api: ApiServer
    operators: list[Service]
    ledger: Ledger
    redis: redis.Redis

    async def forget_grants(self) -> None:
        """Take away what the worker was granted: only a worker that is seen to live gets more."""
        await self.redis.delete(keys.grants(DEFAULT_PIPELINE))

    async def is_well(self) -> bool:
        """One acts, it has granted the worker connections, and nothing waits."""
        acting = [await o.metric("shortlist_operator_acting") for o in self.operators]
        granted = await heartbeats.all_grants(self.redis, DEFAULT_PIPELINE)
        return sum(acting) == 1 and bool(granted) and await self._all_is_scored()

    async def _all_is_scored(self) -> bool:
        return await self.ledger.scored() >= len(self.ledger.accepted)

    async def is_left_alone(self) -> None:
        """No worker was asked for, none is to go, and the Lease is where it was."""
        scaled = [c for c in self.api.calls if c.path.endswith("/scale")]
        why = self.api.objects[PIPELINE].get("status", {}).get("decision")
        assert not scaled, f"scaled: {[c.body for c in scaled]}, {why}"
        assert self.api.objects[DEPLOYMENT]["spec"]["replicas"] == 1
        assert not await heartbeats.draining(self.redis, DEFAULT_PIPELINE), "the worker drains"
        assert self.api.objects[LEASE]["spec"]["leaseTransitions"] == 0, "another acts"


def keep_a_pipeline(api: ApiServer) -> None:
    """With one worker, whose pod is this host: heartbeats tell hosts by their names."""
    made = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    common = {"namespace": "prod", "generation": 1, "creationTimestamp": made}
    spec = {"worker": {"template": {"image": "shortlist"}}}
    api.keep(
        PIPELINE,
        {
            "apiVersion": "shortlist.dev/v1alpha1",
            "kind": "ScoringPipeline",
            "metadata": common | {"name": DEFAULT_PIPELINE, "uid": "one"},
            "spec": spec,
        },
    )
    labels = desired.worker_labels(ScoringPipeline(name=DEFAULT_PIPELINE))
    api.keep(
        DEPLOYMENT,
        {
            "metadata": common | {"name": f"{DEFAULT_PIPELINE}-worker", "labels": labels},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1},
        },
    )
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": made}
    api.keep(
        f"{PODS}/{socket.gethostname()}",
        {
            "metadata": common | {"name": socket.gethostname(), "labels": labels},
            "status": {"phase": "Running", "conditions": [ready]},
        },
    )


@asynccontextmanager
async def scene(directory: Path, clocks: dict[str, Clock], unguarded: str) -> AsyncIterator[Scene]:
    async with (
        servers_by(directory, postgres=clocks["postgres"], redis=clocks["redis"]) as servers,
        ApiServer() as api,
        Place(directory, servers.postgres.url, servers.redis.url).stack(
            service_seconds=0.1, unguarded=unguarded
        ) as stack,
    ):
        keep_a_pipeline(api)
        ingest = await stack.start("ingest", wait=False)
        await stack.start("worker", wait=False, variables=clocks["worker"].variables)
        await stack.start("maintenance", wait=False)
        await stack.ready()
        operators = [
            await stack.start(
                "operator",
                operator_namespace="prod",
                operator_identity=name,
                variables=kubeconfig(api.url, directory) | clocks[name].variables,
            )
            for name in ("one", "other")
        ]
        async with (
            aclosing(redis.connect(servers.redis.url, timeout_seconds=5)) as client,
            Place(directory, servers.postgres.url, "").ledger(ingest) as ledger,
        ):
            yield Scene(api, operators, ledger, client)


async def clocks_are_set(
    directory: Path,
    *whose: str,
    offsets: tuple[int, ...] = OFFSETS,
    unguarded: str = "",
    watched_seconds: float = WATCHED_SECONDS,
) -> None:
    """After each step all goes on, and the operator has left the workers as they are."""
    clocks = {name: Clock.right(directory / f"{name}.time") for name in CLOCKS}
    async with scene(directory, clocks, unguarded) as running:
        # With the first step's three, six might be one look's, of which a second worker is asked.
        await running.ledger.submit(1)
        await until(running.is_well, what="it is well before any step")
        for who in whose:
            for offset in offsets:
                for name in CLOCKS if who == "all" else (who,):
                    clocks[name].set(offset)
                when = f"{who} is set to {offset:+d} s"
                await running.ledger.submit(3)
                await until(
                    running.is_well, within_seconds=GOES_ON_SECONDS, what=f"all goes on when {when}"
                )
                await stays_well(running, when, watched_seconds / 2)
                await running.forget_grants()  # by now heartbeats tell of the clocks as they are
                await until(
                    running.is_well, within_seconds=GOES_ON_SECONDS, what=f"it grants when {when}"
                )
                await stays_well(running, when, watched_seconds / 2)


async def stays_well(running: Scene, when: str, watched_seconds: float) -> None:
    """Look again and again for some seconds: what a step does wrong, a later look may do."""
    ends_at = time.monotonic() + watched_seconds
    while time.monotonic() < ends_at:
        assert await running.is_well(), f"it is not well when {when}"
        await running.is_left_alone()
        await asyncio.sleep(0.5)


async def test_the_operator_goes_on_whoever_s_clock_is_set(tmp_path: Path) -> None:
    await clocks_are_set(tmp_path, *CLOCKS, "all")


@pytest.mark.parametrize(
    ("guard", "who", "fault"),
    [
        ("heartbeats_change", "worker", "it grants when worker is set|scaled"),
        ("operators_lease", "other", "when other is set|another acts|scaled"),
    ],
)
async def test_off_switch_of_the_operator_s_clocks(
    tmp_path: Path, guard: str, who: str, fault: str
) -> None:
    with pytest.raises(AssertionError, match=fault):
        await clocks_are_set(
            tmp_path, who, offsets=(HOUR,), unguarded=guard, watched_seconds=OFF_SWITCH_SECONDS
        )
