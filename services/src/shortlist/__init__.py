"""Shortlist: fast ingest, a waiting line, and workers that score what waits.

The path of one application, in the order in which to read the files:

1. ``ingest/app.py``             the HTTP routes; a body is decoded and checked (``routes/``)
2. ``ingest/group_commit.py``        group commit: what waits becomes one INSERT, then 202s
3. ``storage/postgres/queries/applications.py``   that INSERT; the row is the outbox
4. ``storage/redis/line.py``           after the commit the id goes on a Redis stream
5. ``worker/puller.py``          a worker with a free slot reads the stream
6. ``worker/runner.py``          claim, score, complete, acknowledge: one application
7. ``storage/postgres/queries/claims.py``  who may score; fencing: only the latest attempt writes
8. ``worker/scorers/``           the scorers: simulated, claude
9. ``maintenance/agents/sweep.py``  finds what is lost on the way and puts it back in the line

``shortlist up`` (``embedded/``) runs all of it on one machine. Postgres is the truth; the
line is a hint that may be lost, repeated or stale at any time without harm.
"""

from shortlist.runtime import lean

lean.install()
