"""Logs, metrics and traces: named here once, used everywhere.

Metric names follow Prometheus (base units, ``_total``); span and attribute names follow
OpenTelemetry's semantic conventions for messaging. ``docs/metrics.md`` is checked against this
module. Nothing that a candidate wrote goes into any of the three.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import sys
import threading
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast
from uuid import UUID, uuid4

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from opentelemetry.sdk.trace import TracerProvider

    from shortlist.settings import CommonSettings

# --- metrics

LATENCY_BUCKETS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    2.5,
    3.0,
    4.0,
    5.0,
    7.5,
    10.0,
    15.0,
    20.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
)
"""Seconds; dense around one service time, wide enough for a long line."""

ACCEPTED = Counter("shortlist_accepted", "Applications answered 202.", ["pipeline"])
REFUSED = Counter("shortlist_refused", "Submissions refused, by reason.", ["reason"])
ACCEPT_SECONDS = Histogram(
    "shortlist_accept_seconds",
    "Time from a decoded body to its commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
GROUP_SIZE = Histogram(
    "shortlist_group_commit_size",
    "Applications per commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
CLIENTS_OPEN = Gauge(
    "shortlist_client_connections_open", "Connections of clients that are open.", ["listener"]
)
CLIENTS_ALLOWED = Gauge(
    "shortlist_client_connections_allowed", "How many may be open at once.", ["listener"]
)
CLIENTS_GIVEN_UP = Counter(
    "shortlist_client_connections_given_up",
    "Connections that were ended because their place or their memory was needed, by what they did.",
    ["state"],
)
CLIENT_BYTES = Gauge(
    "shortlist_client_bytes", "Memory that clients' unfinished requests and connections take."
)
CLIENT_BYTES_ALLOWED = Gauge("shortlist_client_bytes_allowed", "How much it may be.")
PUBLISH_FAILURES = Counter(
    "shortlist_publish_failures", "Applications that ingest could not put on the line."
)
LINE_WAITING = Gauge("shortlist_line_waiting", "Entries that wait for a worker.", ["pipeline"])
LINE_DELIVERED = Gauge("shortlist_line_delivered", "Entries delivered, not done.", ["pipeline"])
OLDEST_AGE_SECONDS = Gauge(
    "shortlist_line_oldest_age_seconds", "Age of the entry at the head of the line.", ["pipeline"]
)

IN_FLIGHT = Gauge("shortlist_in_flight", "Claimed and not yet written.", ["pipeline"])
WORKER_SLOTS = Gauge("shortlist_worker_slots", "Applications that may be in flight.", ["pipeline"])
CONNECTIONS_OPEN = Gauge("shortlist_connections_open", "Postgres connections open.", ["process"])
CONNECTIONS_GRANTED = Gauge(
    "shortlist_connections_granted", "Postgres connections granted.", ["process"]
)
COMPLETED = Counter("shortlist_completed", "Verdicts written.", ["pipeline", "status"])
ATTEMPTS_ENDED = Counter(
    "shortlist_attempts_ended", "Attempts that ended without a verdict.", ["pipeline", "outcome"]
)
MODEL_REFUSES = Gauge(
    "shortlist_model_refuses", "1 while the model refuses whatever a pipeline asks.", ["pipeline"]
)
FENCED = Counter(
    "shortlist_fenced", "Verdicts that did not count: the claim was lost.", ["pipeline"]
)
SCORE_SECONDS = Histogram(
    "shortlist_score_seconds", "Time in the scorer.", ["pipeline"], buckets=LATENCY_BUCKETS
)
SUBMIT_TO_SCORED_SECONDS = Histogram(
    "shortlist_submit_to_scored_seconds",
    "Time from acceptance to verdict.",
    ["pipeline"],
    buckets=LATENCY_BUCKETS,
)

FAULTS = Counter(
    "shortlist_faults",
    "Steps that a server did not do, by whose trouble it was.",
    ["step", "fault"],
)
LEADING = Gauge("shortlist_maintenance_leading", "1 while this process leads maintenance.")
REPUBLISHED = Counter(
    "shortlist_republished", "Applications put back in the line.", ["pipeline", "why"]
)
REDIS_LOST = Counter(
    "shortlist_redis_memory_lost", "Times Redis was found to have lost its memory."
)
RETAINED = Counter("shortlist_retention_removed", "Applications removed by retention.", ["action"])
RETRIES_WAITING = Gauge(
    "shortlist_retries_waiting", "Applications that wait for a retry.", ["pipeline"]
)
SUSPECTS = Gauge(
    "shortlist_suspects",
    "Applications whose workers vanished twice: scored apart until they end.",
    ["pipeline"],
)
POISONOUS = Counter(
    "shortlist_poisonous",
    "Applications that failed because what scored them died, a process of its own or the worker.",
    ["pipeline"],
)


# --- logs

WITHHELD_KEYS = frozenset({"payload", "candidate", "body", "email"})
"""Log fields that could hold what a candidate wrote; their values never reach the output."""

_MESSAGE_LIMIT_CHARACTERS = 200


class _LogStream:
    """Standard output, where a log line that cannot be written is dropped.

    A full disk or a reader that went away must not end the work that wanted to tell about itself.
    """

    def write(self, text: str) -> int:
        """Write, or drop."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed, at exit
            return sys.stdout.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do not."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()


def configure_logging(settings: CommonSettings, process: str) -> None:
    """Send every log line of this process through structlog to standard output.

    JSON lines or text, by ``settings.log_format``; each carries ``process``, what is bound in
    `structlog.contextvars`, and ``trace_id`` and ``span_id`` while a span is active. Loggers of the
    standard library take the same way, uvicorn's too (start it with ``log_config=None,
    access_log=False``). May be called again; the last call counts.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        functools.partial(_add_process, process),
        _add_trace,
        _withhold,
        structlog.processors.ExceptionRenderer(
            _exception_frames if settings.log_format == "json" else _exception_text
        ),
    ]
    renderer = _renderer(settings.log_format)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _LogStream())),
        cache_logger_on_first_use=False,  # a test configures more than once
    )
    _route_standard_library(shared, renderer, level)


def _renderer(log_format: str) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())


def _route_standard_library(
    shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor, level: int
) -> None:
    handler = logging.StreamHandler(cast("TextIO", _LogStream()))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in ("httpx2", "httpcore2", "anthropic", "asyncio"):  # each request, at info
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # One line for each failed export, not one more for each try.
    logging.getLogger("opentelemetry").setLevel(max(level, logging.ERROR))


def _add_process(
    process: str, _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event["process"] = process
    return event


def _add_trace(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event


def _withhold(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    for key in WITHHELD_KEYS & event.keys():
        event[key] = "(withheld)"
    if isinstance(error := event.get("error"), BaseException | str):
        event["error"] = _first_line(str(error) or type(error).__name__)
    return event


def _first_line(message: str) -> str:
    """Postgres puts the failing row in the lines after the first, and pydantic the input."""
    return message.partition("\n")[0][:_MESSAGE_LIMIT_CHARACTERS]


def _exception_frames(exc_info: structlog.typing.ExcInfo) -> list[dict[str, Any]]:
    """An exception and its causes as type, first line, and places; no local variables."""
    return [
        {
            "type": stack.exc_type,
            "message": _first_line(stack.exc_value),
            "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in stack.frames],
        }
        for stack in structlog.tracebacks.extract(*exc_info, show_locals=False).stacks
    ]


def _exception_text(exc_info: structlog.typing.ExcInfo) -> str:
    """The same, for people."""
    return "\n".join(
        "\n  ".join([f"{stack['type']}: {stack['message']}", *stack["frames"]])
        for stack in _exception_frames(exc_info)
    )


# --- traces

_QUEUE_SPANS = 8_192
"""Ended spans that wait for export; more are dropped, so that a dead collector costs ≈ 10 MB."""

_EXPORT_TIMEOUT_SECONDS = 2.0
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


def configure_tracing(settings: CommonSettings, process: str) -> Callable[[], None]:
    """Record spans and export them over OTLP/HTTP, if ``settings.otlp_endpoint`` is set.

    Returns what exports the rest and ends it all; it blocks for 3 s at most, so call it from a
    thread or last of all. Without an endpoint nothing is set up and every helper below returns one
    shared context manager that does nothing. OpenTelemetry's own environment variables for headers
    (``OTEL_EXPORTER_OTLP_HEADERS``), certificates and compression are honoured.
    """
    if settings.otlp_endpoint is None:
        return lambda: None
    provider = _provider(settings.otlp_endpoint, settings.trace_sample_ratio, process)
    _Tracing.tracer = provider.get_tracer("shortlist")
    _Tracing.client_ratio = None if settings.trust_traceparent else settings.trace_sample_ratio
    return functools.partial(_stop_tracing, provider)


def _provider(endpoint: str, sample_ratio: float, process: str) -> TracerProvider:
    """The SDK is imported here, because 0.2 s are too much for a process that records nothing."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.namespace": "shortlist",
                "service.name": f"shortlist-{process}",
                "service.instance.id": str(uuid4()),
            }
        ),
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=_traces_url(endpoint), timeout=_EXPORT_TIMEOUT_SECONDS)
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUE_SPANS,
            max_export_batch_size=512,
            schedule_delay_millis=1000,
        )
    )
    return provider


def _traces_url(endpoint: str) -> str:
    """``OTEL_EXPORTER_OTLP_ENDPOINT`` is a base URL (OTLP exporter specification)."""
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"


def _stop_tracing(provider: TracerProvider) -> None:
    _Tracing.tracer = None
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(_SHUTDOWN_TIMEOUT_SECONDS)  # a collector that hangs must not hold the process


def is_tracing() -> bool:
    """Whether this process records spans."""
    return _Tracing.tracer is not None


def request_span(
    method: str, route: str, traceparent: str | None = None
) -> contextlib.AbstractContextManager[trace.Span]:
    """The server's span of one HTTP request; ``traceparent`` is the request's header.

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
    """A client's traceparent, of which it may have our share recorded; malformed ones stay so."""
    ratio = _Tracing.client_ratio
    parts = (traceparent or "").split("-")
    if ratio is None or len(parts) < len(("version", "trace", "parent", "flags")):
        return traceparent
    if random.random() >= ratio:  # no secret
        parts[3] = "00"
    return "-".join(parts)


def send_span(pipeline: str, application_id: UUID) -> contextlib.AbstractContextManager[trace.Span]:
    """The producer's span around one accept; `current_traceparent` inside it goes with the row."""
    if _Tracing.tracer is None:
        return _NO_SPAN
    return _span(
        f"send {pipeline}", SpanKind.PRODUCER, _messaging("send", pipeline, application_id)
    )


def process_span(
    pipeline: str, application_id: UUID, traceparent: str | None, worker_id: UUID
) -> contextlib.AbstractContextManager[trace.Span]:
    """The consumer's span around one attempt: pull to acknowledge.

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
    """A step of the path that is one statement in Postgres, named as in ``queries.sql``."""
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
    """The time in the scorer; ``shortlist.scorer`` says which."""
    return _child("score", SpanKind.INTERNAL, {"shortlist.scorer": scorer})


def chat_span(model: str) -> contextlib.AbstractContextManager[trace.Span]:
    """One request to a language model, by the gen_ai conventions; neither prompt nor reply."""
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
    """The W3C traceparent of the running span; None when it is not recorded."""
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
    """The remote parent that a traceparent names; None when there is none or it is malformed."""
    if _Tracing.tracer is None or traceparent is None:
        return None
    context = _W3C.extract({"traceparent": traceparent}, context=Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def _child(
    name: str, kind: SpanKind, attributes: dict[str, str]
) -> contextlib.AbstractContextManager[trace.Span]:
    """A span inside the running one; none when that is not recorded."""
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
