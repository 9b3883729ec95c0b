"""Hiring's figures: ``uv run --group peers python -m loadtest.bench hiring``.

How to read it:

1. ``subjects.py``   what is loaded: our ingest, or the contract in the usual way (``usual/``)
2. ``crowd.py``      openings with a line and a past, made by our own acts in this process
3. the others        one experiment each

Rates are taken by HTTP, as clients meet them. What must not grow with the length of a line is timed
in this process, where neither HTTP nor the client blurs it, a large line and a small one by turns.
"""
