"""The operator: how many workers run, and how many connections each may hold.

Read in this order:

1. ``main``       the process: watches ScoringPipelines, holds the Lease, serves its health
2. ``reconcile``  one pipeline's loop: each second an ordered list of small steps
3. ``observe``    reads Redis and Postgres; ``observation`` is the result; ``members`` its pods
4. ``shortlist.domain``  ``scaling``, ``drain``, ``grants``: the decisions
5. ``owned_deployment``  the workers' Deployment, where the operator makes it
6. ``kube``       alone calls Kubernetes; ``desired`` and ``status`` are what it sends

It keeps nothing that cannot be seen again: killed at any moment, replicas and grants hold.
"""

import shortlist  # noqa: F401 (from here on imports are lean; see shortlist.runtime.lean)
