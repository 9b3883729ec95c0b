"""How to reach the API server: kopf's watch and our own calls go by the same.

Certificates are verified as `kubectl` does it. Python 3.13 by default also wants of a CA's own
certificate what many clusters' lack (key usage, key identifiers).
"""

from __future__ import annotations

import os
import ssl
from dataclasses import replace
from typing import Any

import kopf

from shortlist.runtime.process import CannotStartError


class NoClusterError(CannotStartError):
    """Nothing says which cluster this is."""

    event = "no_cluster"

    def __init__(self, reason: str) -> None:
        """``reason``: what was found instead."""
        super().__init__(reason, wanted="a pod's service account, or KUBECONFIG")


class _Connection(kopf.ConnectionInfo):
    def as_ssl_context(self) -> ssl.SSLContext:
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def kopf_login(**details: Any) -> kopf.ConnectionInfo | None:
    """Find the credentials: in a pod its service account's, elsewhere KUBECONFIG's."""
    if (found := kopf.login_with_service_account(**details)) is not None:
        found = replace(found, server=_server_of_the_pod() or found.server)
    else:
        found = kopf.login_with_kubeconfig(**details)
    return None if found is None else _Connection(**vars(found))


def login() -> kopf.ConnectionInfo:
    """Find the credentials for calls of our own.

    Raises:
        NoClusterError: nothing names a cluster, or what does cannot be used.
    """
    try:
        found = kopf_login(settings=kopf.OperatorSettings())
    except Exception as error:  # kopf reads KUBECONFIG as it is: any field may be missing
        raise NoClusterError(f"KUBECONFIG cannot be used: {error!r}") from error
    if found is None:
        raise NoClusterError("There is neither a service account nor KUBECONFIG.")
    return found


def _server_of_the_pod() -> str | None:
    """Read the address that the kubelet tells each pod: renewing the Lease must need no DNS."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
