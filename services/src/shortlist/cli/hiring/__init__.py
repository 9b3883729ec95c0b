"""The commands of hiring: keys for machines, the audit, and openings to begin with."""
