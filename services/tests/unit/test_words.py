"""Sentences name who acts: a worker, the leader, a client, the operator, a process, a person."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[3]
PLACES = (
    "README.md", "SECURITY.md", "Tiltfile", "charts", "docs", "k8s", "loadtest", "operator/src",
    "services/src",
)  # fmt: skip
HISTORY = REPOSITORY / "docs" / "decisions"
"""A decision keeps the words in which it was taken."""

WORDS = re.compile(r"\b(?:somebody|nobody|whoever|anybody)\b", re.IGNORECASE)


def files(place: Path) -> Iterator[Path]:
    """The place itself, or all files below it but what Python compiles."""
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.is_file() and "__pycache__" not in path.parts and HISTORY not in path.parents:
            yield path


def without_an_actor(text: str) -> list[str]:
    """Lines with a word that stands where the actor should be named, with their numbers."""
    lines = enumerate(text.splitlines(), start=1)
    return [f"{number}: {line.strip()}" for number, line in lines if WORDS.search(line)]


@pytest.mark.parametrize("place", PLACES)
def test_every_sentence_names_its_actor(place: str) -> None:
    texts = {path: path.read_text("utf-8", "replace") for path in files(REPOSITORY / place)}
    assert any(texts.values()), "nothing was read"
    found = {str(p.relative_to(REPOSITORY)): without_an_actor(text) for p, text in texts.items()}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_the_words_are_found_in_any_case_and_only_as_words() -> None:
    text = "Nobody leads.\nThe leader leads.\nfor whoever asks\nNOBODY_UID = 65534\nanybody_waits()"
    assert without_an_actor(text) == ["1: Nobody leads.", "3: for whoever asks"]
