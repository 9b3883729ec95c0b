from __future__ import annotations

import re

from testkit.repository import ROOT
from tools.docs_tables import redis_table

ROW = re.compile(r"^\| `(sl:[^`]+)` \| (.+?) \|", re.MULTILINE)


def test_the_page_of_keys_says_of_each_who_uses_it_and_what_bounds_it() -> None:
    """The rest of the page is generated; this table is written by hand."""
    page = (ROOT / "docs" / "redis.md").read_text(encoding="utf-8")
    by_hand = page.partition("## Who, how long, how much")[2].partition("\n## ")[0]
    types = {key: means.split(":")[0] for key, means in ROW.findall(redis_table())}
    listed = dict(ROW.findall(by_hand))
    assert listed.keys() == types.keys()
    for key, kind in listed.items():
        assert types[key].split(" with ")[0] == kind, key
    for line in by_hand.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == 6
            assert all(cells), line


def test_no_other_module_names_a_key() -> None:
    sources = ROOT / "services" / "src" / "shortlist"
    literal = re.compile(r"""["']sl:""")
    named = [path for path in sources.rglob("*.py") if literal.search(path.read_text())]
    assert named == [sources / "storage" / "redis" / "keys.py"]
