"""Experiments that need no servers: the scaling policy against its peers, simulated."""
