"""The API server: how to reach it, and the objects that the operator reads and writes there."""
