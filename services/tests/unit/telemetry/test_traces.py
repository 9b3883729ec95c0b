from __future__ import annotations

from uuid import uuid4

from opentelemetry import trace

from shortlist.settings import Settings
from shortlist.telemetry import traces
from shortlist.telemetry.otlp import traces_url


def test_without_an_endpoint_nothing_is_traced() -> None:
    stop = traces.configure(Settings(), "ingest")
    sampled = f"00-{1:032x}-{1:016x}-01"
    nothing = traces.request_span("POST", "/applications", sampled)
    with nothing, traces.send_span("default", uuid4()) as span:
        assert span is trace.INVALID_SPAN
        assert traces.current_traceparent() is None
        assert traces.database_span("claim") is nothing
        assert traces.score_span("simulated") is nothing
        assert traces.chat_span("claude") is nothing
    assert traces.process_span("default", uuid4(), sampled, uuid4()) is nothing
    stop()


def test_the_endpoint_is_a_base_url_or_the_whole_path() -> None:
    for endpoint in ("http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"):
        assert traces_url(endpoint) == "http://c:4318/v1/traces"
