"""A burst, sized on real processes: `uv run --group plots python -m loadtest.burst`.

1. ``load.py``      the resource that `shortlist up` is given, and what is sent to it
2. ``watch.py``     looks at it once a second: the line and the workers' heartbeats in Redis, the
                    workers' connections in ``pg_stat_activity``
3. ``sample.py``    what was seen in a second, and what became of all applications (pure)
4. ``measure.py``   runs all of it, and asks Postgres in the end how long each application took
5. ``report.py``    a table, a CSV file and a sentence; ``plot.py`` draws
"""
