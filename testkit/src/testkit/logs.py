"""How the tests' own process logs, whatever it runs of ours: a plugin of pytest."""

from __future__ import annotations

import structlog


def configure_logging() -> None:
    """Log for pytest, with plain tracebacks.

    structlog's default ones are rich's, which show local variables: a second for each, in which a
    test's event loop stands still.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )


def pytest_configure() -> None:
    """Do so before the first test."""
    configure_logging()
