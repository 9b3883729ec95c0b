"""Hiring's reads. Each is one statement; the caller has them see one moment.

Rows are returned as Postgres has them; `shortlist.hiring.reading` makes answers of them.
"""
