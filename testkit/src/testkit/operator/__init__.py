"""The operator outside a cluster, and the API server that it talks to."""
