"""The Tiltfile and kind's configuration, as far as they can be checked without a container engine.

A Tiltfile is Starlark, which Python can read: each of Tilt's functions here only notes what it got.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from typer.main import get_command

from shortlist.cli.app import app
from testkit.kubernetes.chart import chart, environment, objects, of_kind, pod_templates
from testkit.repository import ROOT

Call = tuple[tuple[Any, ...], dict[str, Any]]

FUNCTIONS = (
    "load", "docker_build_with_restart", "fall_back_on", "sync", "k8s_yaml", "k8s_kind",
    "k8s_resource", "link", "local_resource",
)  # fmt: skip


class Tilt:
    """What a Tiltfile says, by the functions that it calls."""

    def __init__(self) -> None:
        """Run the file."""
        self.calls: dict[str, list[Call]] = {name: [] for name in FUNCTIONS}
        names: dict[str, Any] = {name: self._noted(name) for name in FUNCTIONS}
        names |= {
            "helm": self._helm,
            "decode_yaml_stream": lambda text: list(yaml.load_all(text, yaml.CSafeLoader)),
            "encode_yaml_stream": yaml.safe_dump_all,
            "TRIGGER_MODE_MANUAL": "manual",
        }
        exec((ROOT / "Tiltfile").read_text(encoding="utf-8"), names)

    def _noted(self, name: str) -> Any:
        def note(*arguments: Any, **named: Any) -> Call:
            self.calls[name].append((arguments, named))
            return arguments, named

        return note

    def _helm(self, path: str, *, name: str, set: list[str]) -> str:  # noqa: A002 (Tilt's name)
        assert path == "charts/shortlist"
        values: dict[str, Any] = {}
        for setting in set:
            key, _, text = setting.partition("=")
            parts = key.split(".")
            at = values
            for part in parts[:-1]:
                at = at.setdefault(part, {})
            at[parts[-1]] = yaml.safe_load(text)
        chart().validate_schema(values)
        return yaml.safe_dump_all(objects(values, name=name))

    @property
    def applied(self) -> list[dict[str, Any]]:
        """Everything that goes to the cluster."""
        texts = [arguments[0] for arguments, _ in self.calls["k8s_yaml"]]
        return [thing for text in texts for thing in yaml.load_all(text, yaml.CSafeLoader)]


@pytest.fixture(scope="module")
def tilt() -> Tilt:
    return Tilt()


def test_an_image_has_what_its_dockerfile_copies(tilt: Tilt) -> None:
    for _, named in tilt.calls["docker_build_with_restart"]:
        dockerfile = (ROOT / named["dockerfile"]).read_text(encoding="utf-8")
        for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
            for source in line.split():
                assert source in named["only"], source
        for path in named["only"]:
            assert (ROOT / path).exists(), path
        assert "build_args" not in named  # the base is the Dockerfile's, by its digest


def test_edited_files_go_where_the_image_has_them(tilt: Tilt) -> None:
    for (source, target), _ in tilt.calls["sync"]:
        assert (ROOT / source).is_dir()
        assert target.startswith("/opt/shortlist/lib/python3.13/")
        assert target.endswith(f"/{source.rpartition('/')[2]}")
    for (paths,), _ in tilt.calls["fall_back_on"]:
        assert all((ROOT / path).exists() for path in paths)


def test_every_image_of_ours_in_the_chart_is_built(tilt: Tilt) -> None:
    built = {arguments[0] for arguments, _ in tilt.calls["docker_build_with_restart"]}
    used = {
        container["image"].partition(":")[0]
        for pod in pod_templates(tilt.applied).values()
        for container in pod["spec"]["containers"]
    }
    assert {image for image in used if image.startswith("shortlist")} == built


def test_every_resource_that_is_named_is_made(tilt: Tilt) -> None:
    made = {**of_kind("Deployment", tilt.applied), **of_kind("StatefulSet", tilt.applied)}
    named = {arguments[0] for arguments, _ in tilt.calls["k8s_resource"]}
    assert named == made.keys()


def test_passwords_stay_the_same_from_one_look_to_the_next(tilt: Tilt) -> None:
    secrets = of_kind("Secret", tilt.applied)
    for pod in pod_templates(tilt.applied).values():
        for value in environment(pod).values():
            if isinstance(value, dict) and "secretKeyRef" in value:
                reference = value["secretKeyRef"]
                assert reference["key"] in secrets[reference["name"]]["stringData"], reference
    assert "PASSWORD" not in str(list(secrets.values())).replace("_PASSWORD", "")


def test_files_can_be_put_into_containers(tilt: Tilt) -> None:
    for deployment in of_kind("Deployment", tilt.applied).values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"] == {"runAsUser": 0}
        assert [container["securityContext"] for container in pod["containers"]] == [{}]


def test_the_button_gives_it_something_to_do(tilt: Tilt) -> None:
    (_, named), = tilt.calls["local_resource"]  # fmt: skip
    uv, run, shortlist, command, *arguments = shlex.split(named["cmd"])
    assert [uv, run, shortlist] == ["uv", "run", "shortlist"]
    commands = get_command(app).commands  # type: ignore[attr-defined]
    commands[command].make_context(command, arguments)


def test_the_port_of_kind_is_the_one_of_the_quick_start() -> None:
    (node,) = yaml.safe_load((ROOT / "kind-config.yaml").read_text(encoding="utf-8"))["nodes"]
    ports = {m["containerPort"]: m["hostPort"] for m in node["extraPortMappings"]}
    page = (ROOT / "k8s" / "README.md").read_text(encoding="utf-8")
    (node_port,) = re.findall(r"service\.nodePort=(\d+)", page)
    (host_port,) = set(re.findall(r"http://127\.0\.0\.1:(\d+)", page))
    assert ports[int(node_port)] == int(host_port)
    assert {80, 443} <= ports.keys()
    assert {m["listenAddress"] for m in node["extraPortMappings"]} == {"127.0.0.1"}
