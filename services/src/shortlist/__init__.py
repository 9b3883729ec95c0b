"""Shortlist: a fast front door, a waiting line, and workers that score what waits.

The path of one application, in the order in which to read the files:

1. ``ingest/app.py``             the HTTP routes; a body is decoded and checked (or ``hot.py``)
2. ``ingest/accepter.py``        group commit: what waits becomes one INSERT, then 202s
3. ``storage/applications.py``   that INSERT; the row is the outbox
4. ``storage/line.py``           after the commit the id goes on a Redis stream
5. ``worker/puller.py``          a worker with a free slot reads the stream
6. ``worker/runner.py``          claim, score, complete, acknowledge: one application
7. ``storage/claims.py``         who may score, and the fence that keeps a dead worker's pen dry
8. ``worker/scorers/``           the scorers: simulated, claude
9. ``maintenance/sweep.py``      finds whatever got lost on the way and puts it back in the line

``shortlist up`` (``embedded/``) runs all of it on one machine. Postgres is the truth; the
line is a hint that may be lost, repeated or stale at any time without harm.
"""

from shortlist import lean

lean.install()
