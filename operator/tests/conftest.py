"""What all tests of the operator share."""

from __future__ import annotations

from testkit.logs import configure_logging

configure_logging()
