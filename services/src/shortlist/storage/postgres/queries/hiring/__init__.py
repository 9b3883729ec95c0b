"""Hiring's tables: openings, applicants, placements, the line and the audit."""
