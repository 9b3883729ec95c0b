"""Who collects spans and metrics of our processes."""
