"""Records survive JSON unchanged, and nothing that is unknown or not allowed slips in."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from export.core.errors import ArtifactError
from export.core.records import (
    Artifact,
    Environment,
    Measurement,
    MeasurementFile,
    ModelSpec,
    ParentArtifact,
    Preprocess,
    StoredFile,
    Verification,
)
from export.core.schema import Record
from export.page.reports.benchmark.records import Benchmark
from export.quantization.evaluation.records import EvaluationTable

ROOT = Path(__file__).parents[3]

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
    with pytest.raises(ArtifactError, match='unknown key "colour"; known keys: '):
        type(record).from_json({**values, "colour": 1})
    first = next(iter(values))
    del values[first]
    with pytest.raises(ArtifactError, match=f"missing keys: {first}$"):
        type(record).from_json(values)


def test_what_has_a_default_may_be_left_out() -> None:
    values = SPEC.to_json()
    del values["arguments"]
    assert ModelSpec.from_json(values).arguments == {}


def test_whole_numbers_stay_whole() -> None:
    values = FILE.to_json()
    values["measurements"][0] |= {"value": 5_717_416, "p10": 1e-7}
    text = json.dumps(values)
    assert json.dumps(MeasurementFile.parse(text).to_json()) == text


# What is put in the place of a value of `SPEC`, `ARTIFACT` or `FILE`, and the words of the message.
MALFORMED: list[tuple[Record, tuple[str | int, ...], Any, str]] = [
    (SPEC, ("weights",), "pretrainde", 'weights is "pretrainde"; allowed: pretrained, random, checkpoint, embedded'),
    (SPEC, ("features",), 1, "features is 1; allowed: true or false"),
    (SPEC, ("features",), None, "features is null; allowed: true or false"),
    (SPEC, ("outputs",), True, "outputs is true; allowed: a whole number of at least 1"),
    (SPEC, ("outputs",), "2", 'outputs is "2"; allowed: a whole number'),
    (SPEC, ("outputs",), 2.0, "outputs is 2.0; allowed: a whole number"),
    (SPEC, ("outputs",), 10**30, "(beyond 64 bits); allowed: a whole number"),
    (SPEC, ("outputs",), 10**400, "… (beyond 64 bits); allowed: a whole number"),
    (SPEC, ("name",), 7, "name is 7; allowed: text"),
    (SPEC, ("name",), ["a"], "name is a list of 1; allowed: text"),
    (SPEC, ("labels",), "crane", 'labels is "crane"; allowed: a list'),
    (SPEC, ("labels", 1), 3, "labels[1] is 3; allowed: text"),
    (SPEC, ("arguments",), [], "arguments is a list of 0; allowed: an object"),
    (SPEC, ("preprocess",), "center", 'preprocess is "center"; allowed: an object with the keys size, crop_pct'),
    (SPEC, ("preprocess", "size"), 0, "preprocess.size is 0; allowed: a whole number of at least 1"),
    (SPEC, ("preprocess", "crop_pct"), 0, "preprocess.crop_pct is 0; allowed: a number above 0"),
    (SPEC, ("preprocess", "crop_pct"), float("inf"), "preprocess.crop_pct is Infinity; allowed: a number above 0"),
    (SPEC, ("preprocess", "crop"), 1, 'preprocess: unknown key "crop"; the nearest known key is crop_'),
    (SPEC, ("preprocess", "mean"), [0.5], "preprocess.mean is a list of 1; allowed: a list of 3"),
    (SPEC, ("preprocess", "mean", 2), float("nan"), "preprocess.mean[2] is NaN; allowed: a number"),
    (SPEC, ("preprocess", "std", 0), 0.0, "preprocess.std[0] is 0.0; allowed: a number above 0"),
    (SPEC, ("preprocess", "mode" * 50), 1, 'preprocess: unknown key "mode'),
    (ARTIFACT, ("files", 0, "bytes"), -1, "files[0].bytes is -1; allowed: a whole number of at least 0"),
    (ARTIFACT, ("files", 0), None, "files[0] is null; allowed: an object with the keys path"),
    (ARTIFACT, ("files",), {"0": {}}, "files is an object; allowed: a list"),
    (ARTIFACT, ("tools", "timm"), 1.0, 'tools["timm"] is 1.0; allowed: text'),
    (ARTIFACT, ("verification", "top1_agreement"), 1.5, "top1_agreement is 1.5; allowed: a number from 0 to 1"),
    (ARTIFACT, ("verification", "sqnr_db"), "high", 'sqnr_db is "high"; allowed: a number or null'),
    (ARTIFACT, ("verification", "sqnr_db"), float("-inf"), "sqnr_db is -Infinity; allowed: a number or null"),
    (ARTIFACT, ("verification",), 0, "verification is 0; allowed: an object with the keys"),
    (FILE, ("measurements", 0, "value"), "fast", 'measurements[0].value is "fast"; allowed: a number'),
    (FILE, ("environment", "isolated"), "yes", 'environment.isolated is "yes"; allowed: true or false'),
    (FILE, ("environment", "gpu`, `$.x"), "", 'environment: unknown key "gpu`, `$.x"; '),
]


@pytest.mark.parametrize(("record", "place", "value", "words"), MALFORMED)
def test_a_value_that_is_not_allowed_is_refused_by_its_place(
    record: Record, place: tuple[str | int, ...], value: Any, words: str
) -> None:
    values: Any = record.to_json()
    inside = values
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    with pytest.raises(ArtifactError) as refused:
        type(record).from_json(values)
    assert words in str(refused.value)
    with pytest.raises(ArtifactError) as refused:
        type(record).parse(json.dumps(values))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"null", "the top level is null; allowed: an object with the keys path"),
        (b"[]", "the top level is a list of 0"),
        (b"7", "the top level is 7"),
        (b'"path"', 'the top level is "path"'),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"path": "a", "path": "b", "bytes": 1, "gzip_bytes": 1, "sha256": ""}', 'the key "path" occurs more than'),
        ('{"path": "\u00fc"}'.encode("latin-1"), "utf-8"),
        ('{"path": "a"}'.encode("utf-16"), "not JSON"),
        (b'\xef\xbb\xbf{"path": "a"}', "BOM"),
        (b'{"path": "\\ud800", "bytes": 1, "gzip_bytes": 1, "sha256": ""}', "surrogates"),
        (b'{"path": "a", "bytes": 1e999, "gzip_bytes": 1, "sha256": ""}', "bytes is Infinity"),
        (b'{"path": "a", "bytes": ' + b"9" * 5000 + b', "gzip_bytes": 1, "sha256": ""}', "digits"),
        (b"\x00\x01", "not JSON"),
    ],
)
def test_a_file_that_holds_no_record_is_refused_by_name(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as refused:
        StoredFile.read(path)
    assert words in str(refused.value)
    assert (
        str(refused.value).startswith(f"{path} cannot be read: ") and refused.value.hint == "build again with --force"
    )


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.json cannot be read: .*No such file"):
        StoredFile.read(tmp_path / "none.json")


def test_the_committed_figures_are_written_again_as_they_are() -> None:
    kept = {"measurements": MeasurementFile, "benchmark": Benchmark, "evaluation": EvaluationTable}
    for name, kind in kept.items():
        text = (ROOT / f".github/{name}.json").read_text()
        assert json.dumps(kind.parse(text).to_json(), indent=1, ensure_ascii=False) + "\n" == text
