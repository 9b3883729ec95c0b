"""What the chart makes of its values is valid, safe, and fits our code."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from itertools import pairwise
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
from typer.main import get_command

from shortlist.cli.app import app
from shortlist.domain.sizing.pipeline import SimulatedScorerSpec, parse_pipeline
from shortlist.ingest.routes.listeners import public_groups
from shortlist.runtime.probes import always_ok, probe_routes
from shortlist.settings import PROCESSES as SETTINGS
from shortlist.settings import CommonSettings
from shortlist_operator.kubernetes.desired import container_environment
from shortlist_operator.settings import OperatorSettings
from testkit.kubernetes.chart import (
    CHART,
    RELEASE,
    environment,
    merged,
    objects,
    of_kind,
    pod_templates,
    render,
)
from testkit.kubernetes.scenarios import BY_URL, CLAUDE, EVERYTHING_ON, PRIVATE, SCENARIOS

CUSTOM_KINDS = {"ScoringPipeline", "HTTPRoute", "PodMonitor", "PrometheusRule"}
"""Other projects' resources and ours: their schemas are not among Kubernetes's own."""

OLDEST, NEWEST = "1.30", "1.37"

PROBES = ("startup", "liveness", "readiness")
OWNER, READER = "postgresql://owner@db/shortlist", "postgresql://reader@db/shortlist"

PROCESSES = {"ingest", "worker", "maintenance", "dashboard", "operator"}

# A schema is read from its file for every object otherwise: seven times slower.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)

scenarios = pytest.mark.parametrize("values", SCENARIOS.values(), ids=SCENARIOS)


def settings_of(pod: dict[str, Any], process: str) -> Any:
    """The settings that a pod's process will have; each variable is one of its own."""
    kind = OperatorSettings if process == "operator" else SETTINGS[process]
    names = {setting_names(name, kind): value for name, value in environment(pod).items()}
    assert "" not in names, environment(pod)
    given = {name: value for name, value in names.items() if isinstance(value, str)}
    urls = {"redis_url": "redis://:secret@h"}
    secrets = {
        name: "postgresql://u:secret@h/d" if "database" in name else urls.get(name, "secret")
        for name, value in names.items()
        if not isinstance(value, str)
    }
    return kind.model_validate(given | secrets)


def setting_names(variable: str, kind: type[CommonSettings]) -> str:
    """The setting that an environment variable sets; empty when it sets none."""
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        if variable == f"SHORTLIST_{name.upper()}" or (alias and variable in alias.choices):  # type: ignore[union-attr]
            return name
    return ""


def test_the_oldest_kubernetes_that_is_tried_is_the_oldest_that_is_allowed() -> None:
    assert f'kubeVersion: ">={OLDEST}.0-0"' in (CHART / "Chart.yaml").read_text(encoding="utf-8")
    assert kubernetes_validate.latest_version().startswith(NEWEST)


@scenarios
def test_kubernetes_knows_every_field(values: dict[str, Any]) -> None:
    assert_known(objects(values), NEWEST)


def test_the_oldest_kubernetes_knows_every_field_too() -> None:
    assert_known(objects(EVERYTHING_ON), OLDEST)


def assert_known(things: list[dict[str, Any]], version: str) -> None:
    for thing in things:
        if thing["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(thing, version, strict=True)


def test_helm_finds_nothing_to_complain_about() -> None:
    found = helm.lint(CHART, EVERYTHING_ON, strict=True, kube_version=f"v{NEWEST}.0")
    assert [m for m in found["messages"] if "icon" not in m["error"]] == []


@scenarios
def test_nothing_is_made_twice_and_names_are_short_enough(values: dict[str, Any]) -> None:
    made = objects(values, name="a" * 53)
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in made]
    assert len(set(names)) == len(names)
    assert max(len(name) for _, name in names) <= 63


@scenarios
def test_every_pod_satisfies_the_restricted_pod_security_standard(values: dict[str, Any]) -> None:
    pods = pod_templates(objects(values))
    assert pods.keys() >= PROCESSES - {"operator"}
    for name, pod in pods.items():
        of_pod = pod["spec"]["securityContext"]
        assert of_pod["runAsNonRoot"] is True, name
        assert of_pod["runAsUser"] > 0
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys()
        for volume in pod["spec"].get("volumes", []):
            assert volume.keys() <= {"name", "emptyDir"}
        for container in pod["spec"]["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert "privileged" not in security


@scenarios
def test_the_names_of_services_are_no_settings(values: dict[str, Any]) -> None:
    for name, pod in pod_templates(objects(values)).items():
        # or else a Service named shortlist sets SHORTLIST_PORT
        assert pod["spec"]["enableServiceLinks"] is False, name


@scenarios
def test_only_the_operator_may_talk_to_the_api_server(values: dict[str, Any]) -> None:
    for name, pod in pod_templates(objects(values)).items():
        may = pod["spec"].get("automountServiceAccountToken", True)
        assert may is (name == "operator"), name


def test_the_operator_may_do_nothing_outside_its_namespace_and_read_no_secret() -> None:
    rendered = objects()
    assert not of_kind("ClusterRole", rendered)
    (role,) = of_kind("Role", rendered).values()
    for rule in role["rules"]:
        assert "secrets" not in rule["resources"]
        assert not {"*", "delete", "deletecollection", "escalate", "bind"} & set(rule["verbs"])
        assert "*" not in rule["resources"]


def test_every_pod_says_what_it_needs_and_how_much_memory_is_too_much() -> None:
    for pod in pod_templates(objects()).values():
        (container,) = pod["spec"]["containers"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_every_pod_goes_where_pods_are_told_to_go() -> None:
    values = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "registry"}],
    }
    for name, pod in pod_templates(objects(values)).items():
        assert {key: pod["spec"][key] for key in values} == values, name


@scenarios
def test_replicas_are_left_to_whoever_scales(values: dict[str, Any]) -> None:
    for name, deployment in of_kind("Deployment", objects(values)).items():
        assert ("replicas" in deployment["spec"]) is (not name.endswith("-worker"))


def test_a_pod_has_longer_to_die_than_its_process_needs_to_drain() -> None:
    values = {
        "pipeline": {"spec": {"worker": {"drainTimeoutSeconds": 300}}},
        "ingest": {"env": {"SHORTLIST_DRAIN_TIMEOUT_SECONDS": 40}},
    }
    for laid_on in ({}, values):
        pods = pod_templates(objects(laid_on))
        for name in PROCESSES:
            before = pods[name]["spec"]["containers"][0].get("lifecycle", {})
            needed = settings_of(pods[name], name).drain_timeout_seconds
            needed += before.get("preStop", {}).get("sleep", {}).get("seconds", 0)
            assert pods[name]["spec"]["terminationGracePeriodSeconds"] > needed + 5, name


def test_requests_still_come_in_until_every_node_has_forgotten_a_pod() -> None:
    pods = pod_templates(objects())
    for name in ("ingest", "dashboard"):
        (container,) = pods[name]["spec"]["containers"]
        assert container["lifecycle"]["preStop"]["sleep"]["seconds"] >= 3


def test_probes_ask_for_pages_that_our_processes_have() -> None:
    pages = {route.path for route in probe_routes(readiness=always_ok)}
    pods = pod_templates(objects())
    for name in PROCESSES:
        (container,) = pods[name]["spec"]["containers"]
        for probe in PROBES:
            asked = container[f"{probe}Probe"]["httpGet"]
            assert asked["path"] in pages
            assert asked["port"] in {port["name"] for port in container["ports"]}


@scenarios
def test_the_public_service_shows_what_its_installation_wants(values: dict[str, Any]) -> None:
    """Metrics never; leaderboards and pages unless they have a Service of their own."""
    rendered = objects(values)
    settings = settings_of(pod_templates(rendered)["ingest"], "ingest")
    shown = public_groups(settings)
    is_private = values.get("private", {}).get("enabled", False)
    assert shown >= {"clients", "probes"}
    assert "metrics" not in shown
    assert shown.isdisjoint({"leaderboard", "pages", "docs"}) is is_private
    assert (settings.private_host == "0.0.0.0") is is_private
    services = of_kind("Service", rendered)
    assert (f"{RELEASE}-shortlist-private" in services) is is_private


def test_what_is_public_goes_to_the_public_port_only() -> None:
    rendered = objects(merged(EVERYTHING_ON, PRIVATE))
    services = of_kind("Service", rendered)
    (container,) = pod_templates(rendered)["ingest"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000, "health": 8001, "private": 8002}
    public, private = (
        services[f"{RELEASE}-shortlist{suffix}"]["spec"] for suffix in ("", "-private")
    )
    assert [ports[port["targetPort"]] for port in public["ports"]] == [8000]
    assert [ports[port["targetPort"]] for port in private["ports"]] == [8002]
    assert private.get("type", "ClusterIP") == "ClusterIP"
    (ingress,) = of_kind("Ingress", rendered).values()
    (route,) = of_kind("HTTPRoute", rendered).values()
    backends = [path["backend"]["service"]["name"]
                for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]  # fmt: skip
    backends += [ref["name"] for rule in route["spec"]["rules"] for ref in rule["backendRefs"]]
    assert set(backends) == {f"{RELEASE}-shortlist"}


def test_notes_say_where_the_pages_are_and_who_sees_them() -> None:
    assert "port-forward svc/" in render(PRIVATE)["NOTES.txt"]
    assert "-private 8002:80" in render(PRIVATE)["NOTES.txt"]
    warning = "sees the names, scores and reasons of all candidates"
    assert warning in render({"ingress": {"enabled": True}})["NOTES.txt"]
    closed = {"ingress": {"enabled": True}, "auth": {"scoring": "lists"}}
    assert warning not in render(closed)["NOTES.txt"]
    assert warning not in render(PRIVATE)["NOTES.txt"]
    assert warning not in render()["NOTES.txt"]


@pytest.mark.parametrize("scoring", ["open", "lists", "all"])
def test_ingest_is_told_who_needs_a_key_and_the_notes_say_so(scoring: str) -> None:
    values = {"auth": {"scoring": scoring}}
    environment = settings_of(pod_templates(objects(values))["ingest"], "ingest")
    assert (environment.auth, environment.scoring_auth) == ("on", scoring)
    notes = render(values)["NOTES.txt"]
    assert "keys create" in notes
    assert ("SHORTLIST_SCORING_AUTH" in notes) is (scoring == "open")


def test_without_keys_the_notes_warn() -> None:
    values = {"auth": {"enabled": False}}
    assert settings_of(pod_templates(objects(values))["ingest"], "ingest").auth == "off"
    notes = render(values)["NOTES.txt"]
    assert "each client may do everything there" in notes
    assert "keys create" not in notes


@scenarios
def test_every_variable_of_a_process_is_a_setting(values: dict[str, Any]) -> None:
    for name, pod in pod_templates(objects(values)).items():
        if name in PROCESSES | {"migrate"}:
            settings_of(pod, name)


def test_every_process_is_started_by_a_command_that_exists() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, pod in pod_templates(objects()).items():
        (container,) = pod["spec"]["containers"]
        if name in {"postgres", "redis"}:
            continue
        assert "command" not in container
        command, *arguments = container.get("args") or ["--help"]
        if name != "operator":
            commands[command].make_context(command, arguments)


def test_a_processs_own_settings_win_and_large_numbers_stay_whole() -> None:
    env = {"SHORTLIST_BODY_LIMIT_BYTES": 1_048_576, "SHORTLIST_TRUST_FORWARDED_FOR": True,
           "SHORTLIST_LOG_LEVEL": "debug"}  # fmt: skip
    settings = settings_of(pod_templates(objects({"ingest": {"env": env}}))["ingest"], "ingest")
    assert settings.body_limit_bytes == 1_048_576
    assert settings.trust_forwarded_for
    assert settings.log_level == "debug"


def test_zero_is_a_value() -> None:
    zero = {"pipeline": {"spec": {"scorer": {"serviceSeconds": 0}}}}
    one = {"pipeline": {"spec": {"scorer": {"serviceSeconds": 1}}}}
    for values in (zero, one | {"worker": {"env": {"SHORTLIST_SERVICE_SECONDS": 0}}}):
        assert settings_of(pod_templates(objects(values))["worker"], "worker").service_seconds == 0


@pytest.mark.parametrize("values", [{}, CLAUDE], ids=["simulated", "claude"])
def test_the_charts_workers_are_told_what_the_operator_would_tell_its_own(
    values: dict[str, Any],
) -> None:
    rendered = objects(merged(values, {"pipeline": {"spec": {"worker": {"concurrency": 7}}}}))
    (resource,) = of_kind("ScoringPipeline", rendered).values()
    pipeline = parse_pipeline(resource)
    ours = environment(pod_templates(rendered)["worker"])
    theirs = environment({"spec": {"containers": [{"env": container_environment(pipeline)}]}})
    shared = {"DATABASE_URL", "REDIS_URL", "SHORTLIST_LOG_LEVEL"}
    assert ours.keys() - shared == theirs.keys()
    for name, value in theirs.items():
        if isinstance(pipeline.scorer, SimulatedScorerSpec) and name.startswith(
            "SHORTLIST_SERVICE"
        ):
            assert float(ours[name]) == float(value)
        else:
            assert ours[name] == value


def test_a_worker_has_all_the_connections_it_wants_when_no_operator_grants_more() -> None:
    """The setting: unset, it is what the concurrency wants."""
    without = objects({"operator": {"enabled": False}})
    assert settings_of(pod_templates(objects())["worker"], "worker").initial_grant == 2
    assert settings_of(pod_templates(without)["worker"], "worker").initial_grant is None


@scenarios
def test_the_charts_pipeline_is_one_and_scales_the_charts_workers(values: dict[str, Any]) -> None:
    rendered = objects(values)
    for resource in of_kind("ScoringPipeline", rendered).values():
        pipeline = parse_pipeline(resource)
        assert pipeline.worker_ref is not None
        assert pipeline.worker_ref.name in of_kind("Deployment", rendered)


@pytest.mark.parametrize("spec", [{}, {"scaling": {"minReplicas": 0, "maxReplicas": 1}},
                                  {"line": {"capacity": 5_000_000}}])  # fmt: skip
def test_a_pipelines_spec_arrives_as_it_was_written(spec: dict[str, Any]) -> None:
    values = {"pipeline": {"spec": dict.fromkeys(DEFAULT_SPEC) | spec}}
    (resource,) = of_kind("ScoringPipeline", objects(values)).values()
    assert resource["spec"] == {"workerRef": {"name": "demo-shortlist-worker"}, **spec}
    parse_pipeline(resource)


DEFAULT_SPEC = ("worker", "scorer", "scaling", "connections")
"""Null takes a default away (Helm)."""


@scenarios
def test_every_reference_leads_to_something(values: dict[str, Any]) -> None:
    rendered = objects(values)
    made = {(thing["kind"], thing["metadata"]["name"]) for thing in rendered}
    given = {"db", "cache", "anthropic"}
    for pod in pod_templates(rendered).values():
        for value in environment(pod).values():
            if isinstance(value, dict) and "secretKeyRef" in value:
                name, key = value["secretKeyRef"]["name"], value["secretKeyRef"]["key"]
                secret = of_kind("Secret", rendered).get(name)
                is_made = secret is not None and key in secret["stringData"]
                assert is_made or name in given, (name, key)
        if account := pod["spec"].get("serviceAccountName"):
            assert ("ServiceAccount", account) in made
    ports = {
        (name, port["name"])
        for name, service in of_kind("Service", rendered).items()
        for port in service["spec"]["ports"]
    }
    for ingress in of_kind("Ingress", rendered).values():
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        assert (backend["name"], backend["port"]["name"]) in ports


@scenarios
def test_every_service_and_budget_is_for_pods_that_exist(values: dict[str, Any]) -> None:
    rendered = objects(values)
    labels = [pod["metadata"]["labels"] for pod in pod_templates(rendered).values()]
    selectors = [s["spec"]["selector"] for s in of_kind("Service", rendered).values()]
    for kind in ("PodDisruptionBudget", "Deployment", "StatefulSet", "PodMonitor"):
        things = of_kind(kind, rendered).values()
        selectors.extend(thing["spec"]["selector"]["matchLabels"] for thing in things)
    for selector in selectors:
        assert any(selector.items() <= of_pod.items() for of_pod in labels), selector


def test_a_release_may_be_named_by_a_number() -> None:
    things = objects(EVERYTHING_ON, name="007")
    assert {t["metadata"]["labels"]["app.kubernetes.io/instance"] for t in things} == {"007"}
    assert_known(things, NEWEST)


def test_two_releases_share_nothing() -> None:
    first, second = (
        {(thing["kind"], thing["metadata"]["name"]) for thing in objects(name=name)}
        for name in ("one", "two")
    )
    assert first & second == {("ScoringPipeline", "default")}


def test_the_schema_is_brought_up_to_date_beside_an_install_and_before_an_upgrade() -> None:
    (install,) = of_kind("Job", objects()).values()
    jobs = of_kind("Job", objects(is_upgrade=True))
    # The hook finds the Secret of the release before: roles that are new are made by the other one.
    assert jobs.pop(install["metadata"]["name"]) == install
    (upgrade,) = jobs.values()
    assert "annotations" not in install["metadata"]
    assert upgrade["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    assert install["spec"]["template"]["spec"] == upgrade["spec"]["template"]["spec"]


def test_each_process_has_the_role_that_it_needs_and_no_other() -> None:
    told_roles = {"OWNER_DATABASE_URL", "DATABASE_URL", "READER_DATABASE_URL"}
    roles = {"ADMIN_DATABASE_URL", *told_roles}

    def urls(values: dict[str, Any]) -> dict[str, set[str]]:
        pods = pod_templates(objects(values))
        return {name: roles & environment(pods[name]).keys() for name in (*PROCESSES, "migrate")}

    own = urls({})
    assert own.pop("migrate") == roles
    assert own.pop("dashboard") == {"READER_DATABASE_URL"}
    assert all(found == {"DATABASE_URL"} for found in own.values())
    assert all(found == {"DATABASE_URL"} for found in urls(BY_URL).values())
    told = urls(merged(BY_URL, {"postgres": {"ownerUrl": OWNER, "readerUrl": READER}}))
    assert told["migrate"] == told_roles
    assert told["dashboard"] == {"READER_DATABASE_URL"}
    by_secret = {"postgres": {"enabled": False, "existingSecret": "db"}}
    assert urls(by_secret)["dashboard"] == {"DATABASE_URL", "READER_DATABASE_URL"}


def test_before_an_upgrade_the_migration_does_with_the_roles_of_the_release_before() -> None:
    """It reads the Secret of that release, and one key that is missing would keep a pod waiting."""
    (upgrade,) = (
        job for name, job in of_kind("Job", objects(is_upgrade=True)).items() if "upgrade" in name
    )
    (container,) = upgrade["spec"]["template"]["spec"]["containers"]
    references = {
        e["name"]: e["valueFrom"]["secretKeyRef"] for e in container["env"] if "valueFrom" in e
    }
    needed = {name for name, reference in references.items() if not reference.get("optional")}
    assert needed == {"DATABASE_URL", "REDIS_URL"}


def test_each_role_has_a_password_of_its_own_in_the_secret() -> None:
    (secret,) = of_kind("Secret", objects()).values()
    data = secret["stringData"]
    assert {
        f"{role}_PASSWORD" for role in ("POSTGRES", "OWNER", "SERVICE", "READER")
    } <= data.keys()
    assert "//shortlist_service:" in data["DATABASE_URL"]
    assert "//shortlist_reader:" in data["READER_DATABASE_URL"]
    assert "//shortlist_owner:" in data["OWNER_DATABASE_URL"]
    assert "//shortlist:" in data["ADMIN_DATABASE_URL"]


def test_a_migration_that_is_another_is_a_job_of_another_name() -> None:
    """Rendered and applied again (GitOps), the Job must not change: its template is immutable."""

    def job(values: dict[str, Any]) -> tuple[str, Any]:
        ((name, found),) = of_kind("Job", objects(values, name="a" * 53)).items()
        return name, found["spec"]

    assert job({"ingest": {"replicas": 3}}) == job({})
    others: list[dict[str, Any]] = [
        {}, {"image": {"tag": "2"}}, {"logLevel": "debug"}, {"nodeSelector": {"disk": "ssd"}},
    ]  # fmt: skip
    assert len({job(values)[0] for values in others}) == 4


def test_existing_servers_leave_none_of_ours_and_their_urls_are_secrets() -> None:
    rendered = objects(BY_URL)
    assert not of_kind("StatefulSet", rendered)
    (secret,) = of_kind("Secret", rendered).values()
    assert secret["stringData"] == {
        "DATABASE_URL": BY_URL["postgres"]["url"],
        "REDIS_URL": BY_URL["redis"]["url"],
    }
    elsewhere = [text for path, text in render(BY_URL).items() if path != "secret.yaml"]
    assert not any("example.com" in text for text in elsewhere)


def test_pods_start_anew_when_a_server_moves() -> None:
    def checksums(values: dict[str, Any]) -> set[str]:
        pods = pod_templates(objects(values))
        return {pods[n]["metadata"]["annotations"]["checksum/servers"] for n in PROCESSES}

    moved = merged(BY_URL, {"redis": {"url": "redis://elsewhere"}})
    assert len(checksums(BY_URL)) == len(checksums(moved)) == 1
    assert checksums(BY_URL) != checksums(moved)


def test_the_password_outlives_the_release_as_its_volume_does() -> None:
    (secret,) = of_kind("Secret", objects()).values()
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_our_own_redis_asks_for_a_password_and_never_forgets_or_evicts() -> None:
    (container,) = pod_templates(objects())["redis"]["spec"]["containers"]
    arguments = dict(pairwise(container["args"]))
    assert arguments["--requirepass"] == "$(REDISCLI_AUTH)"
    assert arguments["--appendonly"] == "yes"
    assert arguments["--maxmemory-policy"] == "noeviction"
    assert arguments["--maxmemory"] == "384mb"
    assert container["resources"]["limits"]["memory"] == "512Mi"  # more than it may keep
    assert environment(pod_templates(objects())["redis"]).keys() == {"REDISCLI_AUTH"}


def test_our_own_redis_is_ready_when_it_has_read_its_file_and_alive_before() -> None:
    (container,) = pod_templates(objects())["redis"]["spec"]["containers"]
    asked = {name: container[f"{name}Probe"]["exec"]["command"] for name in PROBES}
    assert asked["startup"] == asked["liveness"] == ["redis-cli", "ping"]
    *shell, command = asked["readiness"]
    for answer, refused in (("PONG", 0), ("LOADING Redis is loading the dataset in memory", 1)):
        said = command.replace("redis-cli ping", f"echo {answer}")
        assert subprocess.run([*shell, said], check=False).returncode == refused


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"postgres": {"enabled": False}}, "postgres: enabled, url or existingSecret is needed"),
        ({"redis": {"enabled": False}}, "redis: enabled, url or existingSecret is needed"),
        ({"postgres": {"url": "postgresql://db/x"}}, "postgres: enabled and url exclude"),
        ({"postgres": {"readerUrl": "postgresql://x"}}, "ownerUrl and readerUrl go with url"),
        (
            {"redis": {"enabled": False, "url": "redis://x", "existingSecret": "y"}},
            "redis: url and existingSecret exclude",
        ),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs is needed"),
        ({"pipeline": {"spec": {"scorer": {"kind": "claude"}}}}, "secretRef is needed by kind"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(problem)):
        render(values)


def test_the_notes_say_what_to_do_next() -> None:
    commands = re.findall(r"kubectl -n prod (\w+)", render()["NOTES.txt"])
    assert commands == ["rollout", "wait", "port", "get", "exec"]
    assert (
        "scale deploy/demo-shortlist-worker"
        in render({"operator": {"enabled": False}})["NOTES.txt"]
    )
