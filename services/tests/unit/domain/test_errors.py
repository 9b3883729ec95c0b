from __future__ import annotations

import pytest

from shortlist.domain.errors import message_of


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("no  such\nhost"), "no such host"),
        (TimeoutError(), "TimeoutError"),
        (OSError("  "), "OSError"),
    ],
)
def test_an_error_says_something_on_one_line(error: Exception, says: str) -> None:
    assert message_of(error) == says
