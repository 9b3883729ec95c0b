"""The consumer's half of an application's trace, from a real worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uuid_utils.compat as uuid7s

from shortlist.domain.line.application import ApplicationId, NewApplication
from shortlist.storage.postgres.queries import applications
from shortlist.storage.redis.line import Entry
from shortlist.telemetry import traces
from testkit.observability.otlp import collecting, tracing
from testkit.processes.bench import DEFAULT

if TYPE_CHECKING:
    from testkit.processes.bench import Bench


async def submit_traced(bench: Bench, payload: str) -> ApplicationId:
    application_id = ApplicationId(uuid7s.uuid7())
    with traces.send_span(DEFAULT, application_id):
        traceparent = traces.current_traceparent()
        application = NewApplication(application_id, DEFAULT, "Ada", payload, traceparent)
        await applications.accept(bench.db, [application])
    await bench.line.publish([Entry(application_id, traceparent)])
    return application_id


async def test_claim_score_and_write_are_in_the_producers_trace(bench: Bench, mode: str) -> None:
    with collecting() as collector, tracing(collector):
        one = await submit_traced(bench, "payload")
        async with bench.worker(connection_mode=mode):
            await bench.until_final([one])
    send, process = collector.one("send default"), collector.one("process default")
    assert process.parent_id == send.span_id
    assert process.links == ((send.trace_id, send.span_id),)
    assert process.attributes["messaging.message.id"] == str(one)
    for name in ("claim", "score", "complete"):
        span = collector.one(name)
        assert (span.trace_id, span.parent_id) == (send.trace_id, process.span_id)
        assert process.started <= span.started <= span.ended <= process.ended
