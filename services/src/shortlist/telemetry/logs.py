"""Log lines: one form for all, on standard output, without what a candidate wrote."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog
from opentelemetry import trace

if TYPE_CHECKING:
    from shortlist.settings import CommonSettings

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


def configure(settings: CommonSettings, process: str) -> None:
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
    """Keep the first line: Postgres puts the failing row behind it, and pydantic the input."""
    return message.partition("\n")[0][:_MESSAGE_LIMIT_CHARACTERS]


def _exception_frames(exc_info: structlog.typing.ExcInfo) -> list[dict[str, Any]]:
    """Format an exception and its causes as type, first line, and places; no local variables."""
    return [
        {
            "type": stack.exc_type,
            "message": _first_line(stack.exc_value),
            "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in stack.frames],
        }
        for stack in structlog.tracebacks.extract(*exc_info, show_locals=False).stacks
    ]


def _exception_text(exc_info: structlog.typing.ExcInfo) -> str:
    """Format the same for people."""
    return "\n".join(
        "\n  ".join([f"{stack['type']}: {stack['message']}", *stack["frames"]])
        for stack in _exception_frames(exc_info)
    )
