"""What grows while a million applications pass: nothing should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from loadtest.bench.contender import Work
from loadtest.bench.figure import Figure, Samples, Target
from loadtest.bench.figures.noop import SLOTS
from loadtest.bench.ours import OurContender, ours

if TYPE_CHECKING:
    from loadtest.bench.bench import Bench

_MIB = 1 << 20
_STEPS = 10
"""The first tenth warms caches and allocators up; the rest must add nothing."""


async def run(bench: Bench) -> list[Figure]:
    """Ingest's and Redis's memory after all applications ÷ after the first tenth."""
    step = bench.scale(5_000, 100_000)
    ingest: list[float] = []
    redis: list[float] = []
    async with ours(bench, "perWrite", Work(SLOTS, 0.0)) as contender:
        with contender.worker() as worker:
            for number in range(1, _STEPS + 1):
                await contender.submit(step)
                await contender.wait_until_done(step * number, [worker], timeout_seconds=900)
                ingest.append(contender.door.child.resident_bytes() / _MIB)
                redis.append(_redis_bytes(contender) / _MIB)
                bench.say(
                    f"memory after {step * number}: ingest {ingest[-1]:.1f} MiB, "
                    f"Redis {redis[-1]:.2f} MiB"
                )
    title = f"after {step * _STEPS} applications ÷ after {step}"
    return [
        _figure("memory_ingest", f"memory of ingest {title}", ingest),
        _figure("memory_redis", f"memory of Redis {title}", redis),
    ]


def _figure(name: str, title: str, mebibytes: list[float]) -> Figure:
    course = ", ".join(f"{value:.1f}" for value in mebibytes)
    return Figure(
        name, title, "×", Samples.of([mebibytes[-1] / mebibytes[0]]), Target("within", 0.1),
        note=f"MiB on the way: {course}",
    )  # fmt: skip


def _redis_bytes(contender: OurContender) -> int:
    with contender.place.redis() as client:
        return int(cast("dict[str, Any]", client.info("memory"))["used_memory"])
