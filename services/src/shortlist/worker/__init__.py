"""The worker: pulls from the line, claims, scores, completes, acknowledges.

Read in this order: ``main`` puts the parts together; ``puller`` takes from the line what there
are slots for; ``runner`` is one application's path; ``holding`` is the right to score it (one
way for each connection mode); ``outbox`` tells Redis what is done; ``membership`` keeps
Postgres and the controller informed that this worker lives. It never scores without a claim, and
never acknowledges before its verdict is committed.
"""
