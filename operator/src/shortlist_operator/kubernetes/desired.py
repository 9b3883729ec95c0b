"""The Deployment that a pipeline without workerRef gets: a pure function of the resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shortlist.domain.sizing.pipeline import SimulatedScorerSpec
from shortlist.domain.sizing.worker_environment import worker_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shortlist.domain.sizing.pipeline import ClaudeScorerSpec, ScoringPipeline
    from shortlist_operator.kubernetes.kube import Json

UID = 10001
AFTER_DRAIN_SECONDS = 15
"""What a worker may need beside its drain: its last read of the line, leaving, the log."""


def deployment_name(pipeline: ScoringPipeline) -> str:
    """Name the Deployment that is scaled: the referred one, or the operator's own."""
    if pipeline.worker_ref is not None:
        return pipeline.worker_ref.name
    return f"{pipeline.name}-worker"


def worker_labels(pipeline: ScoringPipeline) -> dict[str, str]:
    """Return the labels that tell the operator's own pods apart."""
    return {
        "app.kubernetes.io/name": "shortlist",
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/part-of": "shortlist",
        "app.kubernetes.io/managed-by": "shortlist-operator",
        "shortlist.dev/pipeline": pipeline.name,
    }


def worker_deployment(
    pipeline: ScoringPipeline,
    *,
    owner: Json,
    instance: str,
    database_secret: str,
    redis_secret: str,
) -> Json:
    """Make the manifest for server-side apply. No ``replicas``: scaling writes those.

    Args:
        pipeline: has a ``worker.template``.
        owner: the resource as it is in the cluster; deleting it deletes the Deployment.
        instance: the release that the operator belongs to, so that its NetworkPolicies apply.
        database_secret: has the key ``DATABASE_URL``.
        redis_secret: has the key ``REDIS_URL``.
    """
    template = pipeline.worker.template
    assert template is not None
    labels = worker_labels(pipeline) | {"app.kubernetes.io/instance": instance}
    servers = [
        _from_secret("DATABASE_URL", database_secret),
        _from_secret("REDIS_URL", redis_secret),
    ]
    metadata: Json = {"labels": labels}
    if "podAnnotations" in template:
        metadata["annotations"] = template["podAnnotations"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(pipeline),
            "labels": labels,
            "ownerReferences": [_reference_to(owner)],
        },
        "spec": {
            "selector": {"matchLabels": worker_labels(pipeline)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {"metadata": metadata, "spec": _pod(pipeline, template, servers)},
        },
    }


def _reference_to(owner: Json) -> Json:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _pod(pipeline: ScoringPipeline, template: Mapping[str, Any], servers: list[Json]) -> Json:
    environment = [*servers, *container_environment(pipeline), *template.get("env", [])]
    pod: Json = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # a Service named shortlist would set SHORTLIST_PORT
        "terminationGracePeriodSeconds": pipeline.worker.drain_timeout_seconds
        + AFTER_DRAIN_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(template, environment)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    optional = ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations")
    return pod | {name: template[name] for name in optional if name in template}


def _container(template: Mapping[str, Any], environment: list[Json]) -> Json:
    container: Json = {
        "name": "worker",
        "image": template["image"],
        "args": ["worker"],
        "ports": [{"name": "health", "containerPort": 8000}],
        # Each name once, the template's: server-side apply refuses twins.
        "env": list({variable["name"]: variable for variable in environment}.values()),
        "startupProbe": _probe("/healthz", period=1, failures=60),
        "livenessProbe": _probe("/healthz", period=5, failures=6),
        "readinessProbe": _probe("/readyz", period=2, failures=2),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 (the pod's own)
    }
    optional = ("imagePullPolicy", "resources", "envFrom")
    return container | {name: template[name] for name in optional if name in template}


def container_environment(pipeline: ScoringPipeline) -> list[Json]:
    """Return what a worker is told of its pipeline, as a container has it."""
    values = worker_environment(pipeline)
    plain = [{"name": name, "value": value} for name, value in values.items()]
    return plain + _references(pipeline.scorer)


def _references(scorer: SimulatedScorerSpec | ClaudeScorerSpec) -> list[Json]:
    """Return what a worker is told that stands in a Secret or a ConfigMap."""
    environment: list[Json] = []
    if isinstance(scorer, SimulatedScorerSpec):
        return environment
    if scorer.rubric_ref is not None:
        place = {"name": scorer.rubric_ref.name, "key": scorer.rubric_ref.key or "rubric"}
        environment.append({"name": "SHORTLIST_RUBRIC", "valueFrom": {"configMapKeyRef": place}})
    if scorer.secret_ref is not None:
        key = scorer.secret_ref.key or "ANTHROPIC_API_KEY"
        environment.append(_from_secret("ANTHROPIC_API_KEY", scorer.secret_ref.name, key))
    return environment


def _from_secret(name: str, secret: str, key: str | None = None) -> Json:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key or name}}}


def _probe(path: str, *, period: int, failures: int) -> Json:
    return {
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
