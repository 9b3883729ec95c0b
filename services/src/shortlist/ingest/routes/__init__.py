"""The routes of ingest, one module for each kind of call."""
