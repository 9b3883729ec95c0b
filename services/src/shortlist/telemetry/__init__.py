"""Logs, metrics and traces: named here once, used everywhere.

Nothing that a candidate wrote goes into any of the three.
"""
