"""Proxies before Postgres and Redis that have chosen steps refused."""
