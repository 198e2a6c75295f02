"""The frozen records that flow through everything; JSON in, JSON out, unknown keys refused."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from export.core.errors import ArtifactError

SCHEMA_VERSION = 1

Weights = Literal["pretrained", "random", "checkpoint", "embedded"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
CropMode = Literal["center", "squash", "border"]


class Record:
    """Base of the records: `to_json` and `from_json`, nothing else."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, tuples as lists."""
        assert dataclasses.is_dataclass(self)
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the record; raises `ArtifactError` on unknown or missing keys."""
        assert dataclasses.is_dataclass(cls)
        hints = typing.get_type_hints(cls)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        missing = sorted(name for name, field in fields.items() if name not in values and _is_required(field))
        if unknown or missing:
            raise ArtifactError(f"not a {cls.__name__}: unknown keys {unknown}, missing keys {missing}")
        return cls(**{name: _typed(hints[name], value) for name, value in values.items()})


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _typed(hint: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else _typed(inner, value)
    if origin is tuple:
        return tuple(_typed(arguments[0], item) for item in value)
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_json(value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess(Record):
    """How an image becomes the model's input, as timm's evaluation transform does it.

    The shorter side is resized to floor(size / crop_pct) with antialiasing (`squash`: both sides), then
    the centre `size`×`size` is cut out, scaled to 0..1 and normalised per channel.
    """

    size: int
    crop_pct: float
    crop_mode: CropMode
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec(Record):
    """A model as loaded: architecture, where its weights came from, and how to use it.

    `labels` is empty for a feature model (`features` is true then: the output is an embedding).
    `arguments` are those of `timm.create_model` beside the name.
    """

    name: str
    title: str
    timm_name: str
    weights: Weights
    weights_sha256: str
    preprocess: Preprocess
    labels: tuple[str, ...]
    features: bool
    outputs: int
    parameters: int
    licence: str
    source: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Record):
    """How far a child's outputs lie from its parent's on `n` golden inputs; `edge` names the bound that was kept.

    `sqnr_db` is 10·log10(Σ parent² / Σ (parent − child)²), or None where they are equal bit for bit.
    """

    edge: str
    parent: str
    n: int
    max_abs_diff: float
    sqnr_db: float | None
    top1_agreement: float
    bound_sqnr_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest(Record):
    """What a variant makes of the model's reference images, run by the build itself.

    `max_abs_diff` is the largest difference of an output from the float model's; `agrees` tells of each image whether
    the largest output is the same.
    """

    max_abs_diff: float
    agrees: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile(Record):
    """One file of an artifact; `path` is relative to its folder; `gzip_bytes` at level 9."""

    path: str
    bytes: int
    gzip_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentArtifact(Record):
    """An artifact that another one was made from, as it was then."""

    format: str
    recipe: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact(Record):
    """What `artifact.json` says of the files beside it.

    `key` is the hash of everything they were made from; `sha256` the hash of the files' own hashes, in order. The first
    of `parents` is the one it was converted from. `storage_dtype` is what the bytes hold, `compute_dtype` what the
    runtime multiplies.
    """

    schema_version: int
    model: str
    recipe: str
    format: str
    key: str
    files: tuple[StoredFile, ...]
    bytes: int
    gzip_bytes: int
    sha256: str
    parents: tuple[ParentArtifact, ...]
    storage_dtype: str
    compute_dtype: str
    tools: dict[str, str]
    verification: Verification | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment(Record):
    """Where a measurement was made."""

    machine: str
    os: str
    cpu: str
    logical_cores: int
    browser: str
    user_agent: str
    isolated: bool
    gpu: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement(Record):
    """One measured figure: the median `value` of `n` with its spread, of one variant on one backend.

    `engine` is the JavaScript runtime, or `pytorch` for the float reference. `p10` and `p90` bound the
    middle 80 % of `n` timings; for a share of `n` images they are its 95 % Wilson interval.
    """

    metric: str
    value: float
    unit: str
    n: int
    p10: float | None
    p90: float | None
    model: str
    variant: str
    engine: str
    backend: str
    threads: int
    artifact_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementFile(Record):
    """The whole of `measurements.json`."""

    schema_version: int
    environment: Environment
    measurements: tuple[Measurement, ...]
