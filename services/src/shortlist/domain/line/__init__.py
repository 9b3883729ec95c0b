"""The rules of the line: applications, retries, rescues, scores."""
