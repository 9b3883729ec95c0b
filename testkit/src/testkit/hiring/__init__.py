"""Hiring without a database: an opening in memory, a slow reference, and what must hold."""
