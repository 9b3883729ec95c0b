"""The contract of ``/api`` in the usual way, which our hiring is compared with.

FastAPI, SQLAlchemy's ORM with asyncpg, and one transaction for each request: it locks the opening's
row (``SELECT … FOR UPDATE``), counts, and writes. The position is a column, and when one leaves the
line all behind are renumbered, by one UPDATE. Served as FastAPI's documentation
recommends: uvicorn with uvloop and httptools, one process, as ours is.
"""
