"""Spans as a collector receives them (`testkit.observability.otlp`)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from shortlist.settings import Settings
from shortlist.telemetry import traces
from shortlist.worker.scorers import make_scorer
from testkit.observability.otlp import Collector, collecting, tracing
from testkit.processes.messages_api import MessagesApi

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "what the candidate wrote"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def test_one_trace_goes_from_the_request_to_the_write(collector: Collector) -> None:
    application, worker = uuid4(), uuid4()
    with tracing(collector):
        with (
            traces.request_span("POST", "/applications"),
            traces.send_span("default", application),
        ):
            traceparent = traces.current_traceparent()
        with traces.process_span("default", application, traceparent, worker):
            with traces.database_span("claim"):
                pass
            with traces.score_span("simulated"):
                pass
            with traces.database_span("complete"):
                pass
    assert len({span.trace_id for span in collector.spans}) == 1
    post, send = collector.one("POST /applications"), collector.one("send default")
    process = collector.one("process default")
    assert (post.kind, post.parent_id) == ("SERVER", "")
    assert (send.kind, send.parent_id) == ("PRODUCER", post.span_id)
    assert (process.kind, process.parent_id) == ("CONSUMER", send.span_id)
    assert process.links == ((send.trace_id, send.span_id),)
    for name in ("claim", "score", "complete"):
        assert collector.one(name).parent_id == process.span_id


def test_attributes_follow_the_conventions(collector: Collector) -> None:
    application, worker = uuid4(), uuid4()
    with tracing(collector):
        with (
            traces.request_span("POST", "/applications") as request,
            traces.send_span("default", application),
        ):
            request.set_attribute("http.response.status_code", 202)
            traceparent = traces.current_traceparent()
        with (
            traces.process_span("default", application, traceparent, worker),
            traces.database_span("complete"),
        ):
            pass
    messaging = {
        "messaging.system": "redis",
        "messaging.destination.name": "default",
        "messaging.message.id": str(application),
    }
    assert collector.one("POST /applications").attributes == {
        "http.request.method": "POST",
        "http.route": "/applications",
        "http.response.status_code": 202,
    }
    assert collector.one("send default").attributes == messaging | {
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }
    assert collector.one("process default").attributes == messaging | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "workers",
        "messaging.client.id": str(worker),
    }
    assert collector.one("complete").attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "INSERT",
        "db.collection.name": "results",
        "db.query.summary": "INSERT results",
    }
    assert collector.one("complete").service == "shortlist-test"


async def test_a_request_to_the_model_is_a_span_without_its_text(collector: Collector) -> None:
    async with MessagesApi() as api:
        scorer = make_scorer(
            Settings.model_validate(
                {
                    "scorer": "claude",
                    "anthropic_api_key": "sk-local",
                    "anthropic_base_url": api.url,
                }
            )
        )
        with (
            tracing(collector),
            traces.send_span("default", uuid4()),
            traces.score_span("claude") as score,
        ):
            await scorer.score(SECRET)
            parent = f"{score.get_span_context().span_id:016x}"
        await scorer.close()
    chat = collector.one(f"chat {Settings().model}")
    assert (chat.kind, chat.parent_id) == ("CLIENT", parent)
    assert chat.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": Settings().model,
        "gen_ai.response.model": Settings().model,
        "gen_ai.response.id": "msg_local",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": 400 + len(SECRET) // 4,
        "gen_ai.usage.output_tokens": 40,
    }
    assert SECRET.encode() not in collector.raw
    assert "traceparent" not in api.requests[0]["headers"]


def test_an_error_is_named_and_not_quoted(collector: Collector) -> None:
    with (
        tracing(collector),
        pytest.raises(ValueError, match=SECRET),
        traces.send_span("default", uuid4()),
    ):
        raise ValueError(SECRET)
    span = collector.one("send default")
    assert span.is_error
    assert span.attributes["error.type"] == "ValueError"
    assert span.events == ()
    assert SECRET.encode() not in collector.raw


def test_a_cancellation_is_no_error(collector: Collector) -> None:
    with (
        tracing(collector),
        pytest.raises(asyncio.CancelledError),
        traces.send_span("default", uuid4()),
    ):
        raise asyncio.CancelledError
    assert not collector.one("send default").is_error


def test_a_clients_own_trace_goes_on(collector: Collector) -> None:
    with (
        tracing(collector, trace_sample_ratio=0, trust_traceparent=True),
        traces.request_span("POST", "/job", f"00-{0xABC:032x}-{0xDEF:016x}-01"),
    ):
        pass
    span = collector.one("POST /job")
    assert (span.trace_id, span.parent_id) == (f"{0xABC:032x}", f"{0xDEF:016x}")


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{0:032x}-{1:016x}-01", "00-\x00"])
def test_a_malformed_traceparent_begins_a_new_trace(collector: Collector, traceparent: str) -> None:
    with tracing(collector), traces.request_span("POST", "/job", traceparent):
        pass
    assert collector.one("POST /job").parent_id == ""


def test_what_is_not_sampled_leaves_no_half_trace(collector: Collector) -> None:
    application = uuid4()
    with tracing(collector, trace_sample_ratio=0):
        with traces.request_span("POST", "/job"), traces.send_span("default", application):
            traceparent = traces.current_traceparent()
            assert traceparent is None
        with (
            traces.process_span("default", application, traceparent, uuid4()),
            traces.database_span("claim"),
            traces.chat_span("claude"),
        ):
            pass
    assert collector.spans == []


def test_a_retry_is_another_span_of_the_same_trace(collector: Collector) -> None:
    application = uuid4()
    with tracing(collector):
        with traces.send_span("default", application):
            traceparent = traces.current_traceparent()
        for _ in range(3):
            with traces.process_span("default", application, traceparent, uuid4()):
                pass
    attempts = collector.named("process default")
    assert len(attempts) == 3
    assert {span.parent_id for span in attempts} == {collector.one("send default").span_id}


def test_a_collector_that_is_not_there_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with collecting() as gone:
        pass
    stop = traces.configure(Settings.model_validate({"otlp_endpoint": gone.url}), "test")
    for _ in range(10_000):
        with traces.send_span("default", uuid4()):
            pass
    started = time.monotonic()
    stop()
    assert time.monotonic() - started < 30  # bounded by 3 s; the rest is for a busy machine
    caplog.clear()


UPSTREAM = "00-00000000000000000000000000000abc-0000000000000def-{}"


@pytest.mark.parametrize(
    ("flags", "ratio", "trusted", "recorded"),
    [
        ("01", 0, False, 0),  # a client cannot have everything recorded
        ("01", 0, True, 20),
        ("01", 1, False, 20),
        ("00", 1, False, 0),
        ("00", 1, True, 0),
    ],
)
def test_what_a_client_wants_recorded_counts_as_far_as_clients_are_trusted(
    collector: Collector, flags: str, ratio: float, recorded: int, *, trusted: bool
) -> None:
    with tracing(collector, trace_sample_ratio=ratio, trust_traceparent=trusted):
        for _ in range(20):
            with traces.request_span("POST", "/applications", UPSTREAM.format(flags)):
                pass
    assert len(collector.spans) == recorded
    assert {span.trace_id for span in collector.spans} <= {f"{0xABC:032x}"}  # it is continued


def test_off_switch_without_our_own_dice_a_client_has_everything_recorded(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "_sampled_by_us", lambda traceparent: traceparent)
    with (
        tracing(collector, trace_sample_ratio=0),
        traces.request_span("POST", "/applications", UPSTREAM.format("01")),
    ):
        pass
    assert len(collector.spans) == 1
