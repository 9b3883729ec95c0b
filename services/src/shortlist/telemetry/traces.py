"""Spans along one application's path, exported over OTLP when an endpoint is set.

Span and attribute names follow OpenTelemetry's semantic conventions for messaging.
"""

from __future__ import annotations

import contextlib
import functools
import random
import threading
from typing import TYPE_CHECKING, Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from opentelemetry.sdk.trace import TracerProvider

    from shortlist.settings import CommonSettings

_SHUTDOWN_TIMEOUT_SECONDS = 3.0

MESSAGING_SYSTEM = "redis"
"""``messaging.system``; no well-known value exists for Redis, whose conventions name it so."""


class _Tracing:
    """Whether this process records spans, and with what."""

    tracer: trace.Tracer | None = None
    client_ratio: float | None = None
    """Share of clients' traces that is recorded; None: as the clients say."""


_NO_SPAN: contextlib.AbstractContextManager[trace.Span] = contextlib.nullcontext(trace.INVALID_SPAN)
_W3C = TraceContextTextMapPropagator()


def configure(settings: CommonSettings, process: str) -> Callable[[], None]:
    """Record spans and export them over OTLP/HTTP, if ``settings.otlp_endpoint`` is set.

    Returns what exports the rest and ends it all; it blocks for 3 s at most, so call it from a
    thread or last of all. Without an endpoint nothing is set up and every helper below returns one
    shared context manager that does nothing. OpenTelemetry's own environment variables for headers
    (``OTEL_EXPORTER_OTLP_HEADERS``), certificates and compression are honoured.
    """
    if settings.otlp_endpoint is None:
        return lambda: None
    # The SDK takes 0.2 s to import: too much for a process that records nothing.
    from shortlist.telemetry.otlp import provider_of

    provider = provider_of(settings.otlp_endpoint, settings.trace_sample_ratio, process)
    _Tracing.tracer = provider.get_tracer("shortlist")
    _Tracing.client_ratio = None if settings.trust_traceparent else settings.trace_sample_ratio
    return functools.partial(_stop_tracing, provider)


def _stop_tracing(provider: TracerProvider) -> None:
    _Tracing.tracer = None
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(_SHUTDOWN_TIMEOUT_SECONDS)  # a collector that hangs must not hold the process


def is_tracing() -> bool:
    """Tell whether this process records spans."""
    return _Tracing.tracer is not None


def request_span(
    method: str, route: str, traceparent: str | None = None
) -> contextlib.AbstractContextManager[trace.Span]:
    """Open the server's span of one HTTP request; ``traceparent`` is the request's header.

    ``route`` is the template (``/status/{id}``). The caller sets ``http.response.status_code``.
    The span continues the client's trace; whether it is recorded is ours to say, unless clients are
    trusted: any of them could have everything recorded.
    """
    if _Tracing.tracer is None:  # first of all: this is on the hottest path
        return _NO_SPAN
    return _span(
        f"{method} {route}",
        SpanKind.SERVER,
        {"http.request.method": method, "http.route": route},
        context=_context_of(_sampled_by_us(traceparent)),
    )


def _sampled_by_us(traceparent: str | None) -> str | None:
    """Sample a client's traceparent: it may have our share recorded; a malformed one stays so."""
    ratio = _Tracing.client_ratio
    parts = (traceparent or "").split("-")
    if ratio is None or len(parts) < len(("version", "trace", "parent", "flags")):
        return traceparent
    if random.random() >= ratio:  # no secret
        parts[3] = "00"
    return "-".join(parts)


def send_span(pipeline: str, application_id: UUID) -> contextlib.AbstractContextManager[trace.Span]:
    """Open the producer's span of one accept; `current_traceparent` inside it goes with the row."""
    if _Tracing.tracer is None:
        return _NO_SPAN
    return _span(
        f"send {pipeline}", SpanKind.PRODUCER, _messaging("send", pipeline, application_id)
    )


def process_span(
    pipeline: str, application_id: UUID, traceparent: str | None, worker_id: UUID
) -> contextlib.AbstractContextManager[trace.Span]:
    """Open the consumer's span around one attempt: pull to acknowledge.

    It continues the producer's trace (parent) and links to the producer's span, as the messaging
    conventions want it. Nothing is recorded without ``traceparent``: the producer was not sampled.
    """
    producer = _context_of(traceparent)
    if producer is None:
        return _NO_SPAN
    attributes = _messaging("process", pipeline, application_id)
    attributes["messaging.consumer.group.name"] = "workers"
    attributes["messaging.client.id"] = str(worker_id)
    link = trace.Link(trace.get_current_span(producer).get_span_context())
    return _span(
        f"process {pipeline}", SpanKind.CONSUMER, attributes, context=producer, links=[link]
    )


def database_span(
    operation: Literal["claim", "complete"],
) -> contextlib.AbstractContextManager[trace.Span]:
    """Open a span for a step of the path that is one statement in Postgres, of ``claims.sql``."""
    table = "attempts" if operation == "claim" else "results"
    return _child(
        operation,
        SpanKind.CLIENT,
        {
            "db.system.name": "postgresql",
            "db.operation.name": "INSERT",
            "db.collection.name": table,
            "db.query.summary": f"INSERT {table}",
        },
    )


def score_span(scorer: str) -> contextlib.AbstractContextManager[trace.Span]:
    """Open a span for the time in the scorer; ``shortlist.scorer`` says which."""
    return _child("score", SpanKind.INTERNAL, {"shortlist.scorer": scorer})


def chat_span(model: str) -> contextlib.AbstractContextManager[trace.Span]:
    """Open a span for one request to a model, by the gen_ai conventions; no prompt, no reply."""
    return _child(
        f"chat {model}",
        SpanKind.CLIENT,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": model,
        },
    )


def current_traceparent() -> str | None:
    """Return the W3C traceparent of the running span; None when it is not recorded."""
    if _Tracing.tracer is None or not trace.get_current_span().is_recording():
        return None
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get("traceparent")


def _messaging(operation: str, pipeline: str, application_id: UUID) -> dict[str, str]:
    return {
        "messaging.system": MESSAGING_SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": pipeline,
        "messaging.message.id": str(application_id),
    }


def _context_of(traceparent: str | None) -> Context | None:
    """Return the remote parent that a traceparent names; None when it is missing or malformed."""
    if _Tracing.tracer is None or traceparent is None:
        return None
    context = _W3C.extract({"traceparent": traceparent}, context=Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def _child(
    name: str, kind: SpanKind, attributes: dict[str, str]
) -> contextlib.AbstractContextManager[trace.Span]:
    """Open a span inside the running one; none when that is not recorded."""
    if _Tracing.tracer is None or not trace.get_current_span().is_recording():
        return _NO_SPAN
    return _span(name, kind, attributes)


def _span(
    name: str,
    kind: SpanKind,
    attributes: dict[str, str],
    *,
    context: Context | None = None,
    links: Sequence[trace.Link] = (),
) -> contextlib.AbstractContextManager[trace.Span]:
    tracer = _Tracing.tracer
    if tracer is None:
        return _NO_SPAN
    return _recorded(
        tracer.start_span(name, context=context, kind=kind, attributes=attributes, links=links)
    )


@contextlib.contextmanager
def _recorded(span: trace.Span) -> Iterator[trace.Span]:
    """Make a span current; on the way out, name the error's type and never its message."""
    with trace.use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            if isinstance(error, Exception):  # a cancellation is no error
                span.set_status(trace.StatusCode.ERROR)
            raise
