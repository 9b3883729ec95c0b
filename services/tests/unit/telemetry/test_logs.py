from __future__ import annotations

import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry import trace

from shortlist.settings import Settings
from shortlist.telemetry import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    Output = Callable[[], str]

SECRET = "what the candidate wrote"


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str], logging_is_put_back: None) -> Callable[[], str]:
    """What was logged."""
    del logging_is_put_back
    return lambda: capsys.readouterr().out


def lines(output: Output) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output().splitlines()]


def test_a_log_line_is_json_that_says_which_process_wrote_it(output: Output) -> None:
    logs.configure(Settings(), "ingest")
    structlog.get_logger().info("listening", port=8000)
    (line,) = lines(output)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "listening", "level": "info", "process": "ingest", "port": 8000}


def test_messages_below_the_level_are_not_written(output: Output) -> None:
    logs.configure(Settings.model_validate({"log_level": "warning"}), "ingest")
    structlog.get_logger().info("quiet")
    logging.getLogger("anything").info("quiet")
    assert output() == ""


@pytest.mark.parametrize("name", ["uvicorn.error", "asyncpg", "shortlist.anything"])
def test_the_standard_librarys_loggers_take_the_same_way(output: Output, name: str) -> None:
    logs.configure(Settings(), "ingest")
    logging.getLogger(name).warning("%d sheep", 3)
    (line,) = lines(output)
    assert (line["event"], line["logger"], line["process"]) == ("3 sheep", name, "ingest")


def test_a_client_librarys_requests_are_not_logged_at_info(output: Output) -> None:
    logs.configure(Settings(), "worker")
    logging.getLogger("httpx2").info("HTTP Request: POST")
    assert output() == ""


@pytest.mark.parametrize("key", sorted(logs.WITHHELD_KEYS))
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_a_candidate_wrote_is_withheld(output: Output, key: str, log_format: str) -> None:
    logs.configure(Settings.model_validate({"log_format": log_format}), "worker")
    structlog.get_logger().warning("odd", **{key: SECRET})
    text = output()
    assert "odd" in text
    assert SECRET not in text


@pytest.mark.parametrize("error", [ValueError, str])
def test_an_error_that_is_a_field_is_cut_to_its_first_line(
    output: Output, error: Callable[[str], object]
) -> None:
    logs.configure(Settings(), "worker")
    structlog.get_logger().warning("odd", error=error(f"violates check\nDETAIL: {SECRET}"))
    (line,) = lines(output)
    assert line["error"] == "violates check"


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("by", ["structlog", "logging"])
def test_an_exception_tells_its_places_but_neither_values_nor_what_postgres_quotes(
    output: Output, log_format: str, by: str
) -> None:
    logs.configure(Settings.model_validate({"log_format": log_format}), "worker")

    def write(payload: str) -> None:
        raise ValueError(f"violates check\nDETAIL:  Failing row contains ({payload})")

    def fail(payload: str) -> None:
        try:
            write(payload)
        except ValueError as error:
            raise RuntimeError("could not write") from error

    try:
        fail(SECRET)
    except RuntimeError:
        log = structlog.get_logger() if by == "structlog" else logging.getLogger("x")
        log.exception("failed")
    text = output()
    assert SECRET not in text
    for told in ("failed", "could not write", "violates check", "test_logs.py", "ValueError"):
        assert told in text


def test_a_line_inside_a_span_carries_its_ids(output: Output) -> None:
    logs.configure(Settings(), "ingest")
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(context)):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")
    inside, outside = lines(output)
    assert inside["trace_id"] == f"{0xABC:032x}"
    assert inside["span_id"] == f"{0xDEF:016x}"
    assert "trace_id" not in outside


@pytest.mark.usefixtures("output")
def test_output_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", FullDisk())
    logs.configure(Settings(), "worker")
    structlog.get_logger().info("lost")
    logging.getLogger("x").warning("lost")
