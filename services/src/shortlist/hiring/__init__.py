"""Hiring's acts and views, each once: ingest, dashboard and maintenance call them.

The rules are in `shortlist.domain.hiring`; what is here locks, reads, has them decide, and writes.
It knows no HTTP.
"""
