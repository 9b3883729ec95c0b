"""The resource's definition, our reading of it, and the samples say the same."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, get_type_hints

import jsonschema
import kubernetes_validate
import msgspec
import pytest
import yaml

from shortlist.domain.documents import camel_case
from shortlist.domain.line.application import PIPELINE_NAME_PATTERN
from shortlist.domain.sizing import pipeline as domain
from shortlist.domain.sizing.pipeline import (
    API_VERSION,
    KIND,
    InvalidPipelineError,
    Reference,
    ScoringPipeline,
    parse_pipeline,
)
from testkit.kubernetes.chart import CHART, CRD, crd, crd_spec, defaulted, merged, nested, strict
from testkit.repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs" / "pipelines.md"
SAMPLES = {path.stem: path for path in sorted((ROOT / "k8s" / "samples").glob("*.yaml"))}
MINIMAL: dict[str, Any] = {"workerRef": {"name": "shortlist-worker"}}
PARTS: dict[str, list[Any]] = {
    "worker": [domain.WorkerSpec],
    "scorer": [domain.SimulatedScorerSpec, domain.ClaudeScorerSpec],
    "line": [domain.LineSpec],
    "scaling": [domain.ScalingSpec],
    "connections": [domain.ConnectionsSpec],
    "fallback": [domain.FallbackSpec],
}
KINDS = {  # the scorer's fields by the kind that they belong to
    "simulated": {"kind", "serviceSeconds", "serviceCv"},
    "claude": {"kind", "model", "rubricRef", "secretRef", "requestsPerMinute", "tokensPerMinute"},
}
JSON_SCHEMA = strict(crd_spec())


def document(spec: dict[str, Any], name: str = "default") -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def is_parsed(spec: dict[str, Any]) -> bool:
    try:
        parse_pipeline(document(spec))
    except InvalidPipelineError:
        return False
    return True


def is_valid(spec: dict[str, Any]) -> bool:
    """By the structural schema and by the rules about one field."""
    return bool(jsonschema.Draft202012Validator(JSON_SCHEMA).is_valid(spec))


def test_kubernetes_takes_the_definition() -> None:
    kubernetes_validate.validate(crd(), "1.37", strict=True)


def test_the_definition_has_one_home() -> None:
    assert (CHART / "crds").resolve() == CRD.parent


def test_names_are_those_that_we_read() -> None:
    definition = crd()["spec"]
    (version,) = definition["versions"]
    assert f"{definition['group']}/{version['name']}" == API_VERSION
    assert definition["names"]["kind"] == KIND
    rules = version["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    assert any(f"'{PIPELINE_NAME_PATTERN}'" in rule["rule"] for rule in rules)


def test_there_is_no_scale_subresource() -> None:
    (version,) = crd()["spec"]["versions"]
    assert version["subresources"] == {"status": {}}


@pytest.mark.parametrize("part", PARTS)
def test_fields_have_the_types_and_bounds_of_our_own(part: str) -> None:
    ours = {name: of for kind in PARTS[part] for name, of in schema_of(kind).items()}
    if part == "scorer":
        ours["kind"] = comparable(msgspec.json.schema(domain.ScorerKind))
    theirs = JSON_SCHEMA["properties"][part]["properties"]
    opaque: dict[str, Any] = {"template": {}} if part == "worker" else {}
    assert {name: comparable(of) for name, of in theirs.items()} | opaque == ours | opaque


def test_parts_are_the_same() -> None:
    assert crd_spec()["properties"].keys() == PARTS.keys() | {"workerRef"}
    ours = {field.name for field in dataclasses.fields(ScoringPipeline)}
    assert {camel_case(name) for name in ours} == PARTS.keys() | {"workerRef", "name"}
    reference = JSON_SCHEMA["properties"]["workerRef"]["properties"]
    assert {name: comparable(of) for name, of in reference.items()} == schema_of(Reference)


@pytest.mark.parametrize("part", [part for part in PARTS if part != "scorer"])
def test_defaults_are_the_same(part: str) -> None:
    (kind,) = PARTS[part]
    ours = {camel_case(field.name): field.default for field in dataclasses.fields(kind)}
    theirs = {
        name: field["default"]
        for name, field in crd_spec()["properties"][part]["properties"].items()
        if "default" in field
    }
    assert theirs == {name: default for name, default in ours.items() if default is not None}


def on_the_page() -> Iterator[tuple[str, str]]:
    """Each field and its default, as docs/pipelines.md has them."""
    for row in re.findall(r"^\| (`[^|]*) \| ([^|]*)\|", PAGE.read_text("utf-8"), re.MULTILINE):
        first, *others = (name.strip("` ") for name in row[0].split(","))
        defaults = row[1].strip().split(", ")
        part = first.rpartition(".")[0]
        names = [first, *(f"{part}.{other}" for other in others)]
        yield from zip(names, defaults if len(defaults) > 1 else defaults * len(names), strict=True)


def test_the_page_has_each_field_with_its_default() -> None:
    page = dict(on_the_page())
    ours = {
        f"{part}.{camel_case(field.name)}": field.default
        for part, kinds in PARTS.items()
        for kind in kinds
        for field in dataclasses.fields(kind)
    }
    assert page.keys() == ours.keys() | {"workerRef.name", "scorer.kind"}
    known = {name: default for name, default in ours.items() if default is not None}
    assert {name: yaml.safe_load(page[name].strip("`")) for name in known} == known


def schema_of(kind: type) -> dict[str, Any]:
    """The schema of each field of a dataclass, as msgspec makes it of the field's type."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        camel_case(field.name): comparable(msgspec.json.schema(hints[field.name]))
        for field in dataclasses.fields(kind)
    }


def comparable(schema: dict[str, Any]) -> dict[str, Any]:
    """Types and bounds alone: whether null stands for absent, and the form, are not compared."""
    if "anyOf" in schema:  # or null
        choices = [of for of in schema["anyOf"] if of.get("type") != "null"]
        schema = {**schema, **choices[0]}
    if "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    kept = {name: schema[name] for name in BOUNDS if name in schema}
    if "enum" in schema:
        return {"enum": sorted(schema["enum"])}
    if isinstance(kept.get("type"), list):
        kept["type"] = kept["type"][0]
    if "properties" in schema:
        kept["properties"] = {n: comparable(of) for n, of in schema["properties"].items()}
        kept["required"] = schema.get("required", [])
    return kept


BOUNDS = ("type", "minimum", "maximum", "minLength", "maxLength", "pattern")


def test_what_the_api_server_fills_in_changes_nothing() -> None:
    filled = defaulted(crd_spec(), MINIMAL)
    assert filled.keys() == crd_spec()["properties"].keys()
    expected = ScoringPipeline(worker_ref=Reference("shortlist-worker"))
    assert parse_pipeline(document(filled)) == parse_pipeline(document(MINIMAL)) == expected


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of the spec that is no object, by its path; a template is opaque to us."""
    for name, of in schema["properties"].items():
        here = f"{path}.{name}".removeprefix(".")
        if "properties" in of and name != "template":
            yield from fields(of, here)
        elif name != "template":
            yield here, of


FIELDS = dict(fields(JSON_SCHEMA))


def attempts(field: dict[str, Any]) -> Iterator[Any]:
    """Values at, just inside and just outside every bound, and of other types."""
    yield from ["", "x", "perJob", "1.0", "1000.0", "1e3", ".5", True, False, -1, 0, 1, 2**40]
    yield from [0.05, 0.1, 1.5, 60.5, [], {}]
    yield from field.get("enum", [])
    for bound in (field.get("minimum"), field.get("maximum")):
        if bound is not None:
            yield from (bound - 1, bound, bound + 1)


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_takes_the_same_values(path: str) -> None:
    base = merged(MINIMAL, {"scaling": {"maxReplicas": 2**62}})
    if path == "scaling.maxReplicas":
        base = MINIMAL
    for kind, names in KINDS.items():
        if path.startswith("scorer.") and path.split(".")[1] in names:
            base = merged(base, {"scorer": {"kind": kind}})
    if path.endswith("Ref.key"):
        base = merged(base, nested(path.removesuffix("key") + "name", "n"))
    for value in attempts(FIELDS[path]):
        spec = merged(base, nested(path, value))
        if path == "scorer.kind" or (isinstance(value, float) and value.is_integer()):
            continue  # 1.0 is a whole number to JSON Schema, and to the API server
        assert is_parsed(spec) is is_valid(spec), (path, value)


@pytest.mark.parametrize("kind", ["simulated", "claude", "oracle", 1])
def test_a_scorers_kind_takes_the_same_values(kind: object) -> None:
    spec = merged(MINIMAL, {"scorer": {"kind": kind}})
    assert is_parsed(spec) is is_valid(spec)


TEMPLATE = {"worker": {"template": {"image": "shortlist"}}}
REFUSED: dict[str, list[dict[str, Any]]] = {
    "exactly one of workerRef and worker.template is needed": [{}, MINIMAL | TEMPLATE],
    "concurrency must be at least 1": [MINIMAL | {"worker": {"concurrency": 0}}],
    "drainTimeoutSeconds must be at least 5": [MINIMAL | {"worker": {"drainTimeoutSeconds": 4}}],
    "model, rubricRef, secretRef, requestsPerMinute and tokensPerMinute belong to kind claude": [
        MINIMAL | {"scorer": {name: value}}
        for name, value in {
            "model": "m", "rubricRef": {"name": "r"}, "secretRef": {"name": "s"},
            "requestsPerMinute": 1, "tokensPerMinute": 1,
        }.items()
    ],
    "serviceSeconds and serviceCv belong to kind simulated": [
        MINIMAL | {"scorer": {"kind": "claude", "serviceSeconds": 1}},
        MINIMAL | {"scorer": {"kind": "claude", "serviceCv": 1}},
    ],
    "minReplicas must not be more than maxReplicas": [
        MINIMAL | {"scaling": {"minReplicas": 2, "maxReplicas": 1}},
        MINIMAL | {"scaling": {"minReplicas": 31}},
    ],
    "overheadPerWorker must be at least 1": [MINIMAL | {"connections": {"overheadPerWorker": 0}}],
}  # fmt: skip
"""The resource's rules (CEL) by their messages, with what each refuses."""

ABOUT_CHANGES = {
    "workerRef is immutable",
    "references are immutable",
    "references come and go with the kind only",
}
"""Rules that compare with the object before; a document alone cannot break them."""


def messages(schema: dict[str, Any]) -> Iterator[str]:
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", []))
    for of in schema.get("properties", {}).values():
        yield from messages(of)


def test_every_rule_is_broken_below() -> None:
    assert set(messages(crd_spec())) == REFUSED.keys() | ABOUT_CHANGES


@pytest.mark.parametrize("rule", REFUSED)
def test_what_a_rule_refuses_is_not_read_either(rule: str) -> None:
    for spec in REFUSED[rule]:
        assert not is_parsed(spec), spec


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_a_sample_is_a_pipeline_named_as_its_file(sample: Any) -> None:
    (found,) = yaml.safe_load_all(sample.read_text(encoding="utf-8"))
    assert parse_pipeline(found).name == sample.stem
    assert is_valid(found["spec"])
    assert sample.read_text(encoding="utf-8").startswith("# ")


def test_there_is_a_sample_of_each_kind_of_pipeline() -> None:
    assert SAMPLES.keys() == {
        "simulated", "claude", "scale-to-zero", "capped-by-connections", "dry-run",
    }  # fmt: skip


def test_every_column_shows_a_field_that_exists() -> None:
    (version,) = crd()["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]
    for column in version["additionalPrinterColumns"]:
        path = re.sub(r"\[.*?\]", ".items", column["jsonPath"]).strip(".").split(".")
        if path[0] == "metadata":
            continue
        at = root
        for name in path:
            at = at["items"] if name == "items" else at["properties"][name]
        assert at["type"] in {column["type"], "string"}
