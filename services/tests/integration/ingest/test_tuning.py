"""What ingest arranges with Python: no collection of garbage keeps the probes' thread waiting."""

from __future__ import annotations

import os
import subprocess
import sys

from testkit.processes.stack import without_guards

MOST_OBJECTS = 8_000
"""Of the younger two generations: seven portions of 1 000, and what the measurement makes."""

_MEASURE = """
import gc

from shortlist.ingest.tuning import tune_garbage_collection

visited = []


def note(phase, info):
    if phase == "start":
        visited.append(sum(len(gc.get_objects(n)) for n in range(info["generation"] + 1)))


tune_garbage_collection()
gc.callbacks.append(note)
kept = [[] for _ in range(300_000)]
gc.callbacks.remove(note)
print(max(visited))
"""


def most_visited(unguarded: str = "") -> int:
    """How many objects the longest collection visits, while a process makes 300 000."""
    environment = os.environ | without_guards(unguarded)
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURE], check=True, env=environment, stdout=subprocess.PIPE
    )
    return int(ended.stdout)


def test_a_collection_visits_few_objects() -> None:
    assert most_visited() <= MOST_OBJECTS


def test_off_switch_a_collection_visits_many() -> None:
    assert most_visited("short_collections") > 5 * MOST_OBJECTS
