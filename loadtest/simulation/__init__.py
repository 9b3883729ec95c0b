"""The scaling policy beside its peers, simulated: ``uv run python -m loadtest.simulation``.

1. ``loads.py``     when applications arrive and how long each takes; ``held_out.py`` has the loads
                    that nothing was tuned on
2. ``cluster.py``   one line and its workers, as a discrete-event simulation
3. ``ours.py``      the policy of ``shortlist.domain.sizing``; ``peers.py``: KEDA's and Knative's
4. ``table.py``     runs each policy on each load and seed, and compares
"""
