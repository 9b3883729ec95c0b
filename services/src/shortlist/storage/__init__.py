"""Postgres (the truth) and Redis (the line). The only place that imports their drivers.

Nothing here decides anything: the rules are in `shortlist.domain`, the processes use both.
"""
