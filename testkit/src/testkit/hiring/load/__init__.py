"""Many clients of hiring's contract at once, their books, and the faults that happen meanwhile."""
