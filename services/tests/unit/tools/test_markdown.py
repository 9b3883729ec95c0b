"""Tables are put where documents have a place for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.markdown import put, replaced, table

if TYPE_CHECKING:
    from pathlib import Path


def test_a_table_is_markdown() -> None:
    assert table(["", "a"], [["x", "1"], ["y", "2"]]) == (
        "|  | a |\n| --- | --- |\n| x | 1 |\n| y | 2 |"
    )


def test_what_is_put_replaces_what_stood_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x -->\nold\n<!-- end of x -->\nafter\n", encoding="utf-8")
    for content in ("first", "second"):
        put(page, "x", content)
    expected = "before\n<!-- x -->\n\nsecond\n\n<!-- end of x -->\nafter\n"
    assert page.read_text(encoding="utf-8") == expected


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        replaced("before\nafter\n", "x", "new")
