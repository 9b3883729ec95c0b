"""One experiment a file; each is told the bench and gives figures."""
