"""Faults of all kinds, drawn by chance while a load goes on."""
