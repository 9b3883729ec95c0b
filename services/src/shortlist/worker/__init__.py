"""The worker: pulls from the line, claims, scores, completes, acknowledges.

Read in this order: ``main`` puts the parts together; ``puller`` takes from the line what there
are slots for; ``runner`` takes one delivery from its claim to its acknowledgement; ``claims`` are
the right to score (one way for each connection mode); ``attempts`` scores what is claimed and
writes the verdict, or ends the attempt; ``outbox`` tells Redis what is done; ``membership`` keeps
Postgres and the controller informed that this worker lives. It never scores without a claim, and
never acknowledges before its verdict is committed.
"""
