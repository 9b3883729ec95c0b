"""Shortlist: fast ingest, a waiting line, and workers that score what waits.

``docs/architecture.md`` tells the path of one application, and in which order to read the files.
``shortlist up`` (``embedded/``) runs all of it on one machine. Postgres is the truth; the line is a
hint that may be lost, repeated or stale at any time without harm.
"""

from shortlist.runtime import lean

lean.install()
