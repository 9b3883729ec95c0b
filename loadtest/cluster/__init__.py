"""Experiments on a real cluster: ``uv run python -m loadtest.cluster seed`` (or ``keda``).

They need KUBECONFIG, and images that the cluster has (`installed` says which). Each makes a
namespace of its own, installs the chart in it, prints a table, and removes the namespace. The
cluster is seen as the operator's tests see it (`testkit.kubernetes`).
"""
