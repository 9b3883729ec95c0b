"""Whether a request may come in: how full the line is, and how fast a client asks."""
