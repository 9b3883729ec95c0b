"""The rules of size: how many workers, how many connections."""
