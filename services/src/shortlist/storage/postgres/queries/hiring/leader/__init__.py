"""What the leader asks Postgres for hiring: what is due, what may go, and how full openings are."""
