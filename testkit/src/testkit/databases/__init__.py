"""Postgres and Redis that a test may break, and what stands before them."""
