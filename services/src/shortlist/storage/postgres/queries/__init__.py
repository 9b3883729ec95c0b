"""What is asked of Postgres and written there, by aggregate."""
