"""Ingest: every call of the wire contracts, and the commit behind each 202.

Read `app` first, then `submissions` → `accepter` → `publisher`: the way of one application in.
Then `hot`: the short cut that most applications take.
"""
