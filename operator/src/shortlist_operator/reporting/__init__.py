"""What people are told: the resource's status, its events, and metrics."""
