"""Ingest: every call of the wire contracts, and the commit behind each 202.

Read `app` first, then `routes.submit` → `admission` → `group_commit` → `publisher`: the way of one
application in. Then `fast_path`: the short cut that most applications take.
"""
