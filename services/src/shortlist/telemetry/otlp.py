"""What records spans and exports them: the only module that imports OpenTelemetry's SDK."""

from __future__ import annotations

from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

_QUEUE_SPANS = 8_192
"""Ended spans that wait for export; more are dropped, so that a dead collector costs ≈ 10 MB."""

_EXPORT_TIMEOUT_SECONDS = 2.0


def provider_of(endpoint: str, sample_ratio: float, process: str) -> TracerProvider:
    """Make what records ``sample_ratio`` of the traces and sends them to ``endpoint``."""
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
    exporter = OTLPSpanExporter(endpoint=traces_url(endpoint), timeout=_EXPORT_TIMEOUT_SECONDS)
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=_QUEUE_SPANS,
            max_export_batch_size=512,
            schedule_delay_millis=1000,
        )
    )
    return provider


def traces_url(endpoint: str) -> str:
    """``OTEL_EXPORTER_OTLP_ENDPOINT`` is a base URL (OTLP exporter specification)."""
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"
