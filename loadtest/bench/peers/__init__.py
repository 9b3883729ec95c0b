"""What a user could pick instead, each in one small file, all doing the same job.

Each module offers what `Peer` in ``protocol.py`` says. Its docstring tells which settings it
runs with; they are its documentation's own, for speed or (``Setup.reliable``) for surviving a
killed worker. There one rule holds for all: silence means death after 3 s (our own longest
lease), polls are 1 s, or the least that the library allows, and nothing is fetched ahead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A peer as tables name it. ``module`` is its file here, ``distribution`` its name on PyPI."""

    title: str
    module: str
    distribution: str
    runs_many_at_once: bool = True


PEERS = {
    peer.module: peer
    for peer in (
        PeerInfo("pgqueuer", "pgqueuer", "pgqueuer"),
        PeerInfo("Taskiq", "taskiq", "taskiq"),
        PeerInfo("Dramatiq", "dramatiq", "dramatiq"),
        PeerInfo("SAQ", "saq", "saq"),
        PeerInfo("ARQ", "arq", "arq"),
        PeerInfo("streaQ", "streaq", "streaq"),
        PeerInfo("Celery", "celery", "celery"),
        PeerInfo("procrastinate", "procrastinate", "procrastinate"),
        PeerInfo("RQ", "rq", "rq", runs_many_at_once=False),
    )
}
