"""Records survive JSON unchanged, and nothing unknown slips in."""

import json
from dataclasses import replace
from typing import Any

import pytest

from export.core.errors import ArtifactError
from export.core.records import (
    Artifact,
    Environment,
    Measurement,
    MeasurementFile,
    ModelSpec,
    ParentArtifact,
    Preprocess,
    Record,
    StoredFile,
    Verification,
)

PREPROCESS = Preprocess(
    size=224, crop_pct=0.9, crop_mode="center", interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0)
)
SPEC = ModelSpec(
    name="deit_t",
    title="DeiT-T/16",
    timm_name="deit_tiny_patch16_224.fb_in1k",
    weights="random",
    weights_sha256="ab",
    preprocess=PREPROCESS,
    labels=("crane (bird)", "grün"),
    features=False,
    outputs=2,
    parameters=5_717_416,
    licence="Apache-2.0",
    source="a page",
    arguments={"num_classes": 2, "img_size": [28, 28]},
)
VERIFICATION = Verification(
    edge="u8", parent="tf", n=8, max_abs_diff=0.25, sqnr_db=31.5, top1_agreement=1.0, bound_sqnr_db=15.0
)
ARTIFACT = Artifact(
    schema_version=1,
    model="deit_t",
    recipe="u8",
    format="tfjs",
    key="k",
    bytes=3,
    gzip_bytes=23,
    sha256="s",
    files=(StoredFile(path="a/b.bin", bytes=1, gzip_bytes=21, sha256="x"),),
    parents=(ParentArtifact(format="tf", recipe="f32", sha256="p"),),
    storage_dtype="uint8",
    compute_dtype="float32",
    tools={"timm": "1.0"},
    verification=VERIFICATION,
)
FILE = MeasurementFile(
    schema_version=1,
    environment=Environment(
        machine="x86_64", os="Linux", cpu="c", logical_cores=2, browser="b", user_agent="u", isolated=True, gpu=""
    ),
    measurements=(
        Measurement(
            metric="latency_ms",
            value=13.4,
            unit="ms",
            n=50,
            p10=13.0,
            p90=None,
            model="deit_t",
            variant="u8-tfjs",
            engine="tfjs",
            backend="wasm",
            threads=2,
            artifact_sha256="s",
        ),
    ),
)
RECORDS = [
    PREPROCESS,
    SPEC,
    VERIFICATION,
    replace(VERIFICATION, sqnr_db=None),
    ARTIFACT,
    replace(ARTIFACT, verification=None, files=()),
    FILE,
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_survives_json(record: Record) -> None:
    text = json.dumps(record.to_json())
    again = type(record).from_json(json.loads(text))
    assert again == record
    assert json.dumps(again.to_json()) == text


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_unknown_and_missing_keys_are_refused_by_name(record: Record) -> None:
    values = record.to_json()
    with pytest.raises(ArtifactError, match=r"unknown keys \['colour'\]"):
        type(record).from_json({**values, "colour": 1})
    first = next(iter(values))
    del values[first]
    with pytest.raises(ArtifactError, match=rf"missing keys \['{first}'\]"):
        type(record).from_json(values)


def test_an_unknown_key_inside_a_record_is_refused_too() -> None:
    values: dict[str, Any] = SPEC.to_json()
    values["preprocess"]["crop"] = 1
    with pytest.raises(ArtifactError, match=r"not a Preprocess: unknown keys \['crop'\]"):
        ModelSpec.from_json(values)


def test_what_has_a_default_may_be_left_out() -> None:
    values = SPEC.to_json()
    del values["arguments"]
    assert ModelSpec.from_json(values).arguments == {}
