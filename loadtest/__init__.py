"""Loads, figures and simulations: commands for people, and no part of the tests.

- ``bench/``: how fast each part is, beside its rivals.
  ``uv run --group peers python -m loadtest.bench``
- ``burst/``: how the policy sizes real processes on this machine, drawn.
  ``uv run --group plots python -m loadtest.burst``
- ``cluster/``: what the operator does on Kubernetes, and the real KEDA beside it.
  ``uv run python -m loadtest.cluster seed`` or ``keda``
- ``simulation/``: the policy beside KEDA's and Knative's, simulated.
  ``uv run python -m loadtest.simulation``

Each command says with ``--help`` what it runs, for how long, and against what.
"""
