"""The chart without a cluster: rendered by Helm's own library, read back as plain objects.

``uv run python -m testkit.kubernetes.chart`` writes the part of the values' schema
that is the resource's: `test_values.py` compares.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import helm_python as helm
import yaml

from testkit.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHART = ROOT / "charts" / "shortlist"
CRD = ROOT / "k8s" / "crds" / "scoringpipelines.shortlist.dev.yaml"
SCHEMA = CHART / "values.schema.json"

RELEASE, NAMESPACE = "demo", "prod"

Json = dict[str, Any]

_PASSWORDS = re.compile(r"_PASSWORD: (\w+)")


@cache
def chart() -> helm.Chart:
    """The chart, loaded once."""
    return helm.Chart.load(CHART)


def render(
    values: Mapping[str, Any] | None = None, *, name: str = RELEASE, is_upgrade: bool = False
) -> Mapping[str, str]:
    """The text of each template by its path in ``templates/``; made-up passwords are all the same.

    Raises `helm.HelmError` when the values or a template do not allow it.
    """
    return _render(json.dumps(values or {}), name, is_upgrade)


def objects(
    values: Mapping[str, Any] | None = None, *, name: str = RELEASE, is_upgrade: bool = False
) -> list[Json]:
    """What is rendered, as objects. They are kept for the next caller: do not change them."""
    return _objects(json.dumps(values or {}), name, is_upgrade)


@cache
def _render(values: str, name: str, is_upgrade: bool) -> Mapping[str, str]:  # noqa: FBT001 (a cache's key)
    rendered = chart().render(
        json.loads(values),
        name=name,
        namespace=NAMESPACE,
        is_install=not is_upgrade,
        is_upgrade=is_upgrade,
    )
    passwords = set(_PASSWORDS.findall(rendered["shortlist/templates/secret.yaml"]))
    for path, text in rendered.items():
        for password in passwords:
            rendered[path] = rendered[path].replace(password, "PASSWORD")
        assert "e+0" not in text, f"a number as 1e+06: {text}"
    return {path.removeprefix("shortlist/templates/"): text for path, text in rendered.items()}


@cache
def _objects(values: str, name: str, is_upgrade: bool) -> list[Json]:  # noqa: FBT001 (a cache's key)
    return [
        document
        for path, text in sorted(_render(values, name, is_upgrade).items())
        if path.endswith(".yaml")
        for document in yaml.load_all(text, yaml.CSafeLoader)
        if document
    ]


def of_kind(kind: str, rendered: list[Json]) -> dict[str, Json]:
    """Those of one kind, by name."""
    return {found["metadata"]["name"]: found for found in rendered if found["kind"] == kind}


def pod_templates(rendered: list[Json]) -> dict[str, Json]:
    """Every pod that is made, by its component: an object with ``metadata`` and ``spec``."""
    found = {}
    for thing in rendered:
        pod = thing if thing["kind"] == "Pod" else thing.get("spec", {}).get("template")
        if isinstance(pod, dict) and "containers" in pod.get("spec", {}):
            found[pod["metadata"]["labels"]["app.kubernetes.io/component"]] = pod
    return found


def environment(pod: Json) -> Json:
    """The environment of a pod's only container: values, or where they come from."""
    (container,) = pod["spec"]["containers"]
    entries = container.get("env", [])
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}


def crd() -> Json:
    """The resource's definition."""
    return cast("Json", yaml.load(CRD.read_text(encoding="utf-8"), yaml.CSafeLoader))


def crd_spec() -> Json:
    """The schema of ``spec`` in the resource's definition."""
    (version,) = crd()["spec"]["versions"]
    return cast("Json", version["schema"]["openAPIV3Schema"]["properties"]["spec"])


def schema() -> Json:
    """The schema of the values."""
    return cast("Json", json.loads(SCHEMA.read_text(encoding="utf-8")))


def values_spec() -> Json:
    """What the schema of the values must say of ``pipeline.spec``: the resource's own schema.

    Less what the chart itself sets (``workerRef``, which excludes a template), and strict: the
    resource's unknown fields are pruned, a value's are refused.
    """
    spec = strict(crd_spec())
    del spec["properties"]["workerRef"], spec["properties"]["worker"]["properties"]["template"]
    return spec


def leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a nested mapping that is no mapping itself, or an empty one, by its path."""
    for name, value in tree.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here, value


def nested(path: str, value: Any) -> Json:
    """``a.b`` and 1 as ``{"a": {"b": 1}}``."""
    name, _, rest = path.partition(".")
    return {name: nested(rest, value) if rest else value}


def merged(*trees: Mapping[str, Any]) -> Json:
    """Nested mappings laid over each other, the last on top."""
    result: Json = {}
    for tree in trees:
        for name, value in tree.items():
            below = result.get(name)
            if isinstance(value, dict) and isinstance(below, dict):
                result[name] = merged(below, value)
            else:
                result[name] = value
    return result


def defaulted(schema: Json, value: Json) -> Json:
    """What the API server makes of an object: absent fields get their defaults."""
    result = deepcopy(value)
    for name, of in schema.get("properties", {}).items():
        if name not in result and "default" in of:
            result[name] = deepcopy(of["default"])
        if isinstance(result.get(name), dict):
            result[name] = defaulted(of, result[name])
    return result


_KEPT = ("type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "required")


def strict(schema: Json) -> Json:
    """A part of the resource's schema as JSON Schema that refuses unknown fields."""
    kept = {name: schema[name] for name in _KEPT if name in schema}
    if schema.get("nullable"):
        kept["type"] = [schema["type"], "null"]
    for rule in schema.get("x-kubernetes-validations", []):
        if bound := re.fullmatch(r"self >= (\d+)", rule["rule"]):
            kept["minimum"] = int(bound[1])
    if "properties" in schema:
        kept["additionalProperties"] = False
        kept["properties"] = {name: strict(of) for name, of in schema["properties"].items()}
    return kept


def main() -> None:
    """Write the resource's part into the schema of the values."""
    whole = schema()
    whole["properties"]["pipeline"]["properties"]["spec"] = values_spec()
    SCHEMA.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
