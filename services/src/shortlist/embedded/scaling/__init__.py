"""How many workers `shortlist up` runs, and how many connections each may hold."""
