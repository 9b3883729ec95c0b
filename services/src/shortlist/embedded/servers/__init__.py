"""The Postgres and the Redis that `shortlist up` runs itself."""
