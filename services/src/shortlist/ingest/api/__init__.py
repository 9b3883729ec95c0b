"""The hiring contract under ``/api``, by FastAPI."""
