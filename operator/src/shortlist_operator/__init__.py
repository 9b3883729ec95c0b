"""The operator: how many workers run, and how many connections each may hold.

Read in this order:

1. ``main``       the process: watches ScoringPipelines, holds the Lease, serves its health
2. ``reconcile``  one pipeline's loop: each second an ordered list of small steps
3. ``observe``    reads Redis and Postgres; ``observation`` is the result
4. ``shortlist.domain.sizing``  ``controller``: ``scaling``, ``drain``, ``grants``: the decisions
5. ``budget``     one sum of connections for all pipelines of the namespace
6. ``kubernetes`` the API server, pods, the Lease, the Deployment that the operator makes
7. ``reporting``  the status, events and metrics

It keeps nothing that cannot be seen again: killed at any moment, replicas and grants hold.
"""

import shortlist  # noqa: F401 (from here on imports are lean; see shortlist.runtime.lean)
