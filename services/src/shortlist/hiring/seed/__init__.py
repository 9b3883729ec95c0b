"""Openings and applicants to begin with: a few to look at, or a year of them to work with.

``samples`` is done by `Acts`, as a client would. ``history`` makes the events of a year by the
rules of `shortlist.domain.hiring`, with a clock of its own (``kept``), and ``large`` writes them.
"""
