"""The frozen records that flow through everything."""

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from export.core.schema import Count, NonNegative, Number, Positive, PositiveInt, Proportion, Record

SCHEMA_VERSION = 1

Weights = Literal["pretrained", "random", "checkpoint", "embedded"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
CropMode = Literal["center", "squash", "border"]
CropRounding = Literal["even", "down"]
Probabilities = Literal["softmax", "sigmoid"]
THREE = Meta(min_length=3, max_length=3)  # one value per colour channel


class Preprocess(Record, frozen=True, kw_only=True):
    """How an image becomes the model's input, as timm's evaluation transform does it.

    The shorter side is resized to floor(size / crop_pct) with antialiasing (`squash`: both sides), then
    the centre `size`×`size` is cut out, scaled to 0..1 and normalised per channel. Where the crop's offset is half a
    pixel, `crop_rounding` goes to the even one, as torchvision does, or down, as transformers does.
    """

    size: PositiveInt
    crop_pct: Positive
    crop_mode: CropMode
    interpolation: Interpolation
    mean: Annotated[tuple[Number, ...], THREE]
    std: Annotated[tuple[Positive, ...], THREE]
    crop_rounding: CropRounding = "even"


class Estimate(Record, frozen=True, kw_only=True):
    """A proportion `value` of `n` images with its 95 % interval `low` … `high`, Wilson's unless said otherwise."""

    value: Proportion
    n: PositiveInt
    low: Proportion
    high: Proportion


class Confidence(Record, frozen=True, kw_only=True):
    """How logits become probabilities that can be believed, and when an image is probably of none of the classes.

    Logits are divided by `temperature` before softmax. An image is called unknown where its energy score
    `energy_temperature`·log Σ exp(logit / `energy_temperature`) is below `threshold`. `false_alarms` is the share of
    held-out images of the model's classes that are. `data` names the images on which all this was fitted.
    """

    temperature: Positive
    energy_temperature: Positive
    threshold: Number
    false_alarms: Estimate
    data: str


class ModelSpec(Record, frozen=True, kw_only=True):
    """A model as loaded: architecture, where its weights came from, and how to use it.

    `labels` is empty for a feature model (`features` is true then: the output is an embedding). Outputs become
    `probabilities` by softmax where one class excludes the others, by sigmoid for a single output or several labels.
    `arguments` are those of `timm.create_model` beside the name, as `export.models.architecture` takes them.
    `confidence` is None where it was not fitted. `positions_from` is the image size that position embeddings were
    learned at, where they are interpolated from it.
    """

    name: str
    title: str
    timm_name: str
    weights: Weights
    weights_sha256: str
    preprocess: Preprocess
    labels: tuple[str, ...]
    features: bool
    outputs: PositiveInt
    parameters: Count
    licence: str
    source: str
    arguments: dict[str, Any] = field(default_factory=dict)
    probabilities: Probabilities = "softmax"
    confidence: Confidence | None = None
    positions_from: PositiveInt | None = None


class Verification(Record, frozen=True, kw_only=True):
    """How far a child's outputs lie from its parent's on `n` golden inputs; `edge` names the bound that was kept.

    `sqnr_db` is 10·log10(Σ parent² / Σ (parent − child)²), or None where they are equal bit for bit.
    """

    edge: str
    parent: str
    n: PositiveInt
    max_abs_diff: NonNegative
    sqnr_db: Number | None
    top1_agreement: Proportion
    bound_sqnr_db: Number


class SelfTest(Record, frozen=True, kw_only=True):
    """What a variant makes of the model's reference images, run by the build itself.

    `max_abs_diff` is the largest difference of an output from the float model's; `agrees` tells of each image whether
    the largest output is the same.
    """

    max_abs_diff: NonNegative
    agrees: tuple[bool, ...]


class CalibrationData(Record, frozen=True, kw_only=True):
    """The images on which a recipe's scales were chosen: how many, and from where; `synthetic` ones, from none."""

    images: PositiveInt
    title: str
    synthetic: bool


class StoredFile(Record, frozen=True, kw_only=True):
    """One file of an artifact; `path` is relative to its folder; `gzip_bytes` at level 9, or 0 where no page has it."""

    path: str
    bytes: Count
    gzip_bytes: Count
    sha256: str


class ParentArtifact(Record, frozen=True, kw_only=True):
    """An artifact that another one was made from, as it was then."""

    format: str
    recipe: str
    sha256: str


class Artifact(Record, frozen=True, kw_only=True):
    """What `artifact.json` says of the files beside it.

    `key` is the hash of everything they were made from; `sha256` the hash of the files' own hashes, in order. The first
    of `parents` is the one it was converted from. `storage_dtype` is what the bytes hold, `compute_dtype` what the
    runtime multiplies. `digest` is the hash of the record itself, without it.
    """

    schema_version: int
    model: str
    recipe: str
    format: str
    key: str
    files: tuple[StoredFile, ...]
    bytes: Count
    gzip_bytes: Count
    sha256: str
    parents: tuple[ParentArtifact, ...]
    storage_dtype: str
    compute_dtype: str
    tools: dict[str, str]
    verification: Verification | None = None
    digest: str = ""  # empty in older records


class Environment(Record, frozen=True, kw_only=True):
    """Where a measurement was made."""

    machine: str
    os: str
    cpu: str
    logical_cores: Count
    browser: str
    user_agent: str
    isolated: bool
    gpu: str


class Measurement(Record, frozen=True, kw_only=True):
    """One measured figure: the median `value` of `n` with its spread, of one variant on one backend.

    `engine` is the JavaScript runtime, or `pytorch` for the float reference. `p10` and `p90` bound the
    middle 80 % of `n` timings; for a share of `n` images they are its 95 % Wilson interval. `browser` is the name and
    version of the environment that it belongs to; '' stands for the file's first one, and for none with PyTorch.
    """

    metric: str
    value: Number
    unit: str
    n: PositiveInt
    p10: Number | None
    p90: Number | None
    model: str
    variant: str
    engine: str
    backend: str
    threads: Count
    artifact_sha256: str
    browser: str = ""


class MeasurementFile(Record, frozen=True, kw_only=True):
    """The whole of `measurements.json`; `others` are further browsers on the same machine."""

    schema_version: int
    environment: Environment
    measurements: tuple[Measurement, ...]
    others: tuple[Environment, ...] = ()

    @property
    def environments(self) -> tuple[Environment, ...]:
        """All browsers that it has figures of."""
        return (self.environment, *self.others)
