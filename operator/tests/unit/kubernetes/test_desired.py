from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from shortlist.domain.sizing.pipeline import API_VERSION, KIND, ScoringPipeline, parse_pipeline
from shortlist.settings import Settings
from shortlist_operator.kubernetes.desired import (
    AFTER_DRAIN_SECONDS,
    container_environment,
    deployment_name,
    worker_deployment,
    worker_labels,
)
from testkit.kubernetes.chart import crd_spec, environment, merged, pod_templates

Json = dict[str, Any]

TEMPLATE: Json = {"image": "shortlist:1"}
EVERYTHING: Json = TEMPLATE | {
    "imagePullPolicy": "Always",
    "resources": {"requests": {"cpu": "100m"}},
    "env": [{"name": "SHORTLIST_LOG_LEVEL", "value": "debug"}],
    "envFrom": [{"secretRef": {"name": "more"}}],
    "serviceAccountName": "worker",
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "podAnnotations": {"example.com/owner": "hiring"},
}


def resource(spec: Json, template: Json = TEMPLATE) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "cv", "uid": "1-2-3"},
        "spec": merged({"worker": {"template": template}}, spec),
    }


def manifest(spec: Json, template: Json = TEMPLATE) -> Json:
    owner = resource(spec, template)
    return worker_deployment(
        parse_pipeline(owner),
        owner=owner,
        instance="demo",
        database_secret="pg",
        redis_secret="rd",
    )


def pod(spec: Json, template: Json = TEMPLATE) -> Json:
    return pod_templates([manifest(spec, template)])["worker"]


def container(spec: Json, template: Json = TEMPLATE) -> Json:
    (found,) = pod(spec, template)["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("template", [TEMPLATE, EVERYTHING], ids=["least", "everything"])
def test_kubernetes_knows_every_field(template: Json) -> None:
    kubernetes_validate.validate(manifest({}, template), "1.37", strict=True)


def test_the_target_is_the_deployment_referred_to_or_the_operators_own() -> None:
    referring = parse_pipeline(resource({}) | {"spec": {"workerRef": {"name": "mine"}}})
    assert deployment_name(referring) == "mine"
    assert deployment_name(parse_pipeline(resource({}))) == manifest({})["metadata"]["name"]
    assert deployment_name(parse_pipeline(resource({}))) == "cv-worker"


def test_the_manifest_says_nothing_of_replicas() -> None:
    assert "replicas" not in manifest({})["spec"]


def test_it_selects_its_own_pods_by_labels_that_no_release_changes() -> None:
    made = manifest({})
    selected = made["spec"]["selector"]["matchLabels"]
    assert selected == worker_labels(parse_pipeline(resource({})))
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels == selected | {"app.kubernetes.io/instance": "demo"}


def test_it_goes_with_its_resource_and_holds_up_nobodys_deletion() -> None:
    (owner,) = manifest({})["metadata"]["ownerReferences"]
    assert owner == {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": "cv",
        "uid": "1-2-3",
        "controller": True,
        "blockOwnerDeletion": False,
    }


def test_a_rollout_takes_nobody_away_before_there_is_another() -> None:
    rolling = manifest({})["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_pod_has_its_drain_time_and_a_little_more() -> None:
    spec = {"worker": {"drainTimeoutSeconds": 90}}
    assert AFTER_DRAIN_SECONDS == 15
    assert pod(spec)["spec"]["terminationGracePeriodSeconds"] == 105
    assert environment(pod(spec))["SHORTLIST_DRAIN_TIMEOUT_SECONDS"] == "90"


def test_a_worker_is_told_its_pipeline_and_where_the_servers_are() -> None:
    spec = {
        "worker": {"concurrency": 7},
        "connections": {"mode": "perWrite", "overheadPerWorker": 2},
        "scorer": {"kind": "simulated", "serviceSeconds": 0.5, "serviceCv": 0.25},
    }
    assert environment(pod(spec)) == {
        "DATABASE_URL": {"secretKeyRef": {"name": "pg", "key": "DATABASE_URL"}},
        "REDIS_URL": {"secretKeyRef": {"name": "rd", "key": "REDIS_URL"}},
        "SHORTLIST_PIPELINE": "cv",
        "SHORTLIST_CONCURRENCY": "7",
        "SHORTLIST_CONNECTION_MODE": "perWrite",
        "SHORTLIST_CONNECTION_OVERHEAD": "2",
        "SHORTLIST_DRAIN_TIMEOUT_SECONDS": "60",
        "SHORTLIST_INITIAL_GRANT": "3",
        "SHORTLIST_SCORER": "simulated",
        "SHORTLIST_SERVICE_SECONDS": "0.5",
        "SHORTLIST_SERVICE_CV": "0.25",
    }


@pytest.mark.parametrize(
    ("reference", "key"),
    [({"name": "anthropic"}, "ANTHROPIC_API_KEY"), ({"name": "anthropic", "key": "k"}, "k")],
)
def test_claudes_key_comes_from_its_secret(reference: Json, key: str) -> None:
    spec = {"scorer": {"kind": "claude", "model": "claude-x", "secretRef": reference}}
    told = environment(pod(spec))
    assert told["SHORTLIST_SCORER"] == "claude"
    assert told["SHORTLIST_MODEL"] == "claude-x"
    assert told["ANTHROPIC_API_KEY"] == {"secretKeyRef": {"name": "anthropic", "key": key}}


@pytest.mark.parametrize(
    ("reference", "key"), [({"name": "rubrics"}, "rubric"), ({"name": "rubrics", "key": "k"}, "k")]
)
def test_claudes_rubric_comes_from_its_config_map(reference: Json, key: str) -> None:
    told = environment(pod({"scorer": {"kind": "claude", "rubricRef": reference}}))
    assert told["SHORTLIST_RUBRIC"] == {"configMapKeyRef": {"name": "rubrics", "key": key}}


def test_claudes_limits_are_told_to_every_worker() -> None:
    limits = {"requestsPerMinute": 600, "tokensPerMinute": 2_000_000}
    told = environment(pod({"scorer": {"kind": "claude"} | limits}))
    assert told["SHORTLIST_REQUESTS_PER_MINUTE"] == "600"
    assert told["SHORTLIST_TOKENS_PER_MINUTE"] == "2000000"


def test_every_variable_is_a_setting_of_a_worker() -> None:
    scorer = {"kind": "claude", "model": "m", "secretRef": {"name": "s"}} | {
        "rubricRef": {"name": "r"}, "requestsPerMinute": 1, "tokensPerMinute": 1,
    }  # fmt: skip
    told = environment(pod({"scorer": scorer}))
    fields = {name.removeprefix("SHORTLIST_").lower(): value for name, value in told.items()}
    assert fields.keys() <= Settings.model_fields.keys()


def test_claude_without_model_or_secret_is_left_to_the_workers_own_settings() -> None:
    told = environment(pod({"scorer": {"kind": "claude"}}))
    assert (
        not {
            "ANTHROPIC_API_KEY",
            "SHORTLIST_MODEL",
            "SHORTLIST_RUBRIC",
            "SHORTLIST_REQUESTS_PER_MINUTE",
            "SHORTLIST_TOKENS_PER_MINUTE",
        }
        & told.keys()
    )


def test_the_template_adds_what_it_has_and_nothing_else() -> None:
    least, whole = container({}), container({}, EVERYTHING)
    assert whole["image"] == "shortlist:1"
    for name in ("imagePullPolicy", "resources", "envFrom"):
        assert whole[name] == EVERYTHING[name]
        assert name not in least
    assert whole["env"][-1] == EVERYTHING["env"][0]
    for name in ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations"):
        assert pod({}, EVERYTHING)["spec"][name] == EVERYTHING[name]
        assert name not in pod({})["spec"]
    assert pod({}, EVERYTHING)["metadata"]["annotations"] == EVERYTHING["podAnnotations"]
    assert "annotations" not in pod({})["metadata"]


def test_the_definition_has_every_field_of_the_template() -> None:
    worker = crd_spec()["properties"]["worker"]["properties"]
    assert worker["template"]["properties"].keys() == EVERYTHING.keys()


def test_a_variable_of_the_template_replaces_ours() -> None:
    """Server-side apply would refuse the manifest if a name were in it twice."""
    given = [{"name": "SHORTLIST_SERVICE_SECONDS", "value": seconds} for seconds in ("8", "9")]
    told = environment(pod({}, TEMPLATE | {"env": given}))
    assert told == environment(pod({})) | {"SHORTLIST_SERVICE_SECONDS": "9"}


def test_its_pods_satisfy_the_restricted_pod_security_standard() -> None:
    spec = pod({}, EVERYTHING)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all(volume.keys() == {"name", "emptyDir"} for volume in spec["volumes"])
    assert container({}, EVERYTHING)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_pod_cannot_reach_the_api_server_and_reads_no_service_as_a_setting() -> None:
    spec = pod({})["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False


def test_the_environment_of_a_default_pipeline_has_each_name_once() -> None:
    names = [entry["name"] for entry in container_environment(ScoringPipeline())]
    assert len(set(names)) == len(names)
