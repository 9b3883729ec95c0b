"""Where an operator that runs as a process finds an `ApiServer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path


def kubeconfig(url: str, directory: Path, token: str | None = None) -> dict[str, str]:
    """What the process needs in its environment to talk to the API server at ``url``."""
    named = {"name": "here"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [named | {"cluster": {"server": url}}],
        "users": [named | {"user": {} if token is None else {"token": token}}],
        "contexts": [named | {"context": {"cluster": "here", "user": "here"}}],
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return {"KUBECONFIG": str(path)}
