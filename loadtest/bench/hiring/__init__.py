"""Hiring's figures: ``uv run --group peers python -m loadtest.bench hiring``.

How to read it:

1. ``subjects.py``   what is loaded: our ingest, or the contract in the usual way (``usual/``)
2. ``history.py``    an opening with a line and a past, decided by the domain; ``rows.py`` copies it
3. ``acting.py``     our acts in this process
4. the others        one experiment each

Rates are taken by HTTP, as clients meet them. What must not grow with the length of a line is timed
in this process, where neither HTTP nor the client blurs it, a large line and a small one by turns.
"""
