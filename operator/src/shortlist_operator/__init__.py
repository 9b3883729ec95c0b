"""Sizes workers."""
