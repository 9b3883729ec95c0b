"""Scoring by Claude: the scorer, and what the model's errors mean."""
