"""Clients of ingest: honest, odd and hostile ones."""
