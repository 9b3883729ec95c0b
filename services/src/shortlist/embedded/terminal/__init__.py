"""What `shortlist up` shows on a terminal."""
