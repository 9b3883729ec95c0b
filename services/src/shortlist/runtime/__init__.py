"""What every process needs to run: probes, batches, tasks, failpoints."""
