"""The documents tell the truth, as far as a machine can see."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from typer.main import get_command

from shortlist.cli.app import app
from testkit.repository import ROOT
from tools.docs_tables import PAGES, outdated

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`([^`\n]+)`")
SOURCES = ("services", "services/src/shortlist", "services/tests", "")
OUR_ENDINGS = (".py", ".sql", ".md", ".yaml", ".toml", ".json")


@cache
def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(ROOT / line for line in listed.stdout.splitlines())


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        address = urlsplit(link)
        if address.scheme:
            continue
        target = (page.parent / address.path).resolve() if address.path else page
        assert target.exists(), link
        if address.fragment:
            assert address.fragment in anchors(target), link


@pytest.mark.parametrize("page", pages(), ids=named)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for name in QUOTED.findall(page.read_text(encoding="utf-8")):
        if "/" in name and name.endswith(OUR_ENDINGS) and re.fullmatch(r"[\w./-]+", name):
            assert any((ROOT / source / name).exists() for source in SOURCES), name


@pytest.mark.parametrize("page", pages(), ids=named)
def test_every_command_that_is_named_exists(page: Path) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = page.read_text(encoding="utf-8")
    for command in re.findall(r"(?:`|\brun )shortlist ([a-z]+)", text):
        assert command in commands, command


def test_pages_made_from_the_code_are_up_to_date() -> None:
    """If not: uv run python -m tools.docs_tables --write."""
    assert list(outdated()) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_made_from_the_code_says_how_it_is_made(page: str) -> None:
    assert "`uv run python -m tools.docs_tables --write`" in (ROOT / page).read_text("utf-8")


def test_each_release_says_what_an_upgrade_asks_for() -> None:
    _, *releases = (ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## [")
    assert releases
    for release in releases:
        assert "\n### Upgrading\n" in release, release.partition("]")[0]


def test_the_decisions_have_numbers_of_their_own_and_are_listed_in_order() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("0*.md"))
    assert len({name[:4] for name in records}) == len(records)
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((0.+?)\)", index) == records


def test_the_lock_file_names_the_public_index_and_nothing_else() -> None:
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")
    hosts = {urlsplit(address).hostname for address in re.findall(r'"(https?://[^"]+)"', text)}
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
