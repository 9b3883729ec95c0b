"""Pods that run without some of their guards: they mount `unguarded/guards.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testkit.processes import stack

if TYPE_CHECKING:
    from testkit.kubernetes.cluster import Json

_NAME = "unguarded"
_FOLDER = "/unguarded"

PATCHES: Json = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": _NAME},
    "data": {file.name: file.read_text(encoding="utf-8") for file in stack.PATCHES.glob("*.py")},
}
"""The ConfigMap of the patches. Apply it before a pod mounts it."""


def without_guards(template: Json, guards: str) -> Json:
    """Return a pod template whose only container lacks these guards (split by ``,``)."""
    pod = template["spec"]
    (container,) = pod["containers"]
    variables = {"UNGUARDED": guards, "PYTHONPATH": _FOLDER}
    environment = [{"name": name, "value": value} for name, value in variables.items()]
    mount = {"name": _NAME, "mountPath": _FOLDER, "readOnly": True}
    volume = {"name": _NAME, "configMap": {"name": _NAME}}
    changed = container | {
        "env": _merged(container, "env", "name", environment),
        "volumeMounts": _merged(container, "volumeMounts", "mountPath", [mount]),
    }
    volumes = _merged(pod, "volumes", "name", [volume])
    return template | {"spec": pod | {"containers": [changed], "volumes": volumes}}


def _merged(owner: Json, name: str, key: str, new: list[Any]) -> list[Any]:
    """Return a list of the owner with ``new`` in it, each ``key`` once."""
    return list({one[key]: one for one in [*owner.get(name, []), *new]}.values())
