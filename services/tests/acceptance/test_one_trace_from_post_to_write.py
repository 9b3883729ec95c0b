"""An application's trace, collected from the processes that it went through (decision 10)."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, get_args

import aiohttp
import pytest

from shortlist.domain.line.application import ConnectionMode
from shortlist.settings import Settings
from testkit.observability.otlp import Collector, collecting
from testkit.processes.messages_api import MessagesApi
from testkit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from testkit.processes.place import Place
    from testkit.processes.stack import Service, Stack

SECRET = "Ten years of Kubernetes"
FINAL = ("scored", "failed")


@asynccontextmanager
async def traced(
    place: Place, collector: Collector, mode: str
) -> AsyncIterator[tuple[Stack, Service, Service]]:
    """Ingest and a worker that asks a local Claude, both tracing."""
    async with MessagesApi() as api:
        stack = place.stack(scorer="claude", connection_mode=mode)
        stack._environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "sk-local",
        }
        async with stack:
            ingest, worker = await stack.start_all("ingest", "worker")
            yield stack, ingest, worker


async def submitted(ingest: Service, payload: str, headers: dict[str, str] | None = None) -> str:
    """The id of an application that is final by now."""
    async with aiohttp.ClientSession(ingest.url) as http:
        body = {"candidate": SECRET, "payload": payload}
        async with http.post("/applications", json=body, headers=headers) as answer:
            assert answer.status == 202
            application = str((await answer.json())["id"])

        async def final() -> bool:
            async with http.get(f"/applications/{application}") as answer:
                return (await answer.json())["status"] in FINAL

        await until(final, within_seconds=30, what="the application is final")
    return application


async def collected(collector: Collector, application: str) -> None:
    """Wait for the producer's and the consumer's span; processes export each second."""

    async def both() -> bool:
        spans = list(collector.spans)
        of_it = [s for s in spans if s.attributes.get("messaging.message.id") == application]
        return len(of_it) == 2

    await until(both, within_seconds=30, what=f"both spans among {collector.spans}")


@pytest.mark.parametrize("mode", get_args(ConnectionMode))
async def test_one_trace_goes_from_the_post_to_the_write(place: Place, mode: str) -> None:
    with collecting() as collector:
        async with traced(place, collector, mode) as (_, ingest, _):
            upstream = f"00-{0xABC:032x}-{0xDEF:016x}-01"
            application = await submitted(ingest, SECRET, {"traceparent": upstream})
            await collected(collector, application)
        spans = [span for span in collector.spans if span.trace_id == f"{0xABC:032x}"]
    by_name = {span.name: span for span in spans}
    assert len(by_name) == len(spans)
    chat = f"chat {Settings().model}"
    parents = {
        span.name: next((p.name for p in spans if p.span_id == span.parent_id), span.parent_id)
        for span in spans
    }
    assert parents == {
        "POST /applications": f"{0xDEF:016x}",
        "send default": "POST /applications",
        "process default": "send default",
        "claim": "process default",
        "score": "process default",
        chat: "score",
        "complete": "process default",
    }
    send, process = by_name["send default"], by_name["process default"]
    assert process.links == ((send.trace_id, send.span_id),)
    assert (send.service, process.service) == ("shortlist-ingest", "shortlist-worker")
    assert process.attributes["messaging.message.id"] == application
    assert SECRET.encode() not in collector.raw


async def test_a_log_line_leads_to_the_trace_and_tells_nothing_of_the_candidate(
    place: Place,
) -> None:
    with collecting() as collector:
        async with traced(place, collector, "perJob") as (_, ingest, worker):
            application = await submitted(ingest, f"!too_large {SECRET}")
            await collected(collector, application)
            logs = ingest.log + worker.log
    lines = [json.loads(line) for line in worker.log.splitlines()]
    (failed,) = [line for line in lines if line.get("application") == application]
    process = collector.one("process default")
    assert (failed["trace_id"], failed["level"]) == (process.trace_id, "warning")
    assert SECRET not in logs
