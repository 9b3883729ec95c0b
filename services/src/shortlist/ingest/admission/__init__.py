"""Whether a request may come in: how full the line is, and how fast a client asks.

``line_registry`` alone knows the lines and keeps what is known of each: a ``line_capacity``, in
which a request takes its place. ``rate_limit`` counts the calls of a client. Both say what is left
as a ``quota``.
"""
