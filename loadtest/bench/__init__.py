"""The figures, each beside its rivals: ``uv run --group peers python -m loadtest.bench``.

How to read it:

1. ``figure.py``      what is measured: samples, a target, rivals (pure)
2. ``catalog.py``     which experiments there are; each is one file in ``figures/``
3. ``bench.py``       what an experiment is given: real servers with fsync on, children, a scale
4. ``contender.py``   what does jobs: our own worker (``ours.py``), or a peer (``peers/``)
5. ``load.py``        the HTTP client; one process, the same for us and for the bare handler
6. ``report.py``      tables for people, JSON for programs, ``docs/performance.md``

Rules: subjects take turns (never all rounds of one, then all of the other), a figure is the
median of at least three rounds and is shown with its spread, both sides get the same servers,
the same client and the same job. A quick run bends them where a subject mostly waits: those run
side by side; and where peers are many: each has one turn, or only the best of them have.
"""
