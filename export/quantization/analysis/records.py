"""The records of an analysis: what quantization does to each layer, as JSON."""

from pathlib import Path
from typing import Literal

from export.core.errors import ArtifactError, RequestError
from export.core.records import Estimate
from export.core.schema import Count, NonNegative, Number, PositiveInt, Record

SCHEMA_VERSION = 1
Tensors = Literal["both", "weights", "activations"]
Operand = Literal["weight", "input", "left", "right"]


class SensitivityRow(Record, frozen=True, kw_only=True):
    """What the outputs lose when of the whole model only the `tensors` of one layer are quantized.

    `own_sqnr_db` is that of the layer's own output, `sqnr_db`, `cosine` and `agreement` of the model's outputs;
    `top1` needs labels. `key` is the hash of all that decides the row.
    """

    key: str
    layer: str
    role: str
    tensors: Tensors
    weights: Count
    own_sqnr_db: Number
    sqnr_db: Number
    cosine: Number
    agreement: Estimate | None = None
    top1: Estimate | None = None


class CumulativeRow(Record, frozen=True, kw_only=True):
    """How far a layer's output lies from the float model's when every layer up to it is quantized."""

    layer: str
    role: str
    sqnr_db: Number
    cosine: Number


class DistributionRow(Record, frozen=True, kw_only=True):
    """The values of a tensor: `histogram` counts them in equal steps from `low` to `high`.

    `channel_ratio` is the largest magnitude of a channel over the median channel's, `token_ratio` the same of tokens
    (None where there are none). `warning` is empty where nothing is unusual.
    """

    layer: str
    operand: Operand
    low: Number
    high: Number
    deviation: NonNegative
    histogram: tuple[Count, ...]
    channel_ratio: NonNegative
    token_ratio: NonNegative | None = None
    warning: str = ""


class LadderRow(Record, frozen=True, kw_only=True):
    """The model with everything quantized but what `step` names; `float_layers` are left in float."""

    step: str
    float_layers: tuple[str, ...]
    sqnr_db: Number
    cosine: Number
    agreement: Estimate | None = None
    top1: Estimate | None = None


class Analysis(Record, frozen=True, kw_only=True):
    """The whole file: model, recipe, data and machine, and what was found; `float_top1` needs labels."""

    schema_version: int = SCHEMA_VERSION
    command: str
    model: str
    weights_sha256: str
    recipe: str
    data: str
    calibration_data: str
    n: PositiveInt
    machine: str
    threads: Count
    tools: dict[str, str]
    float_top1: Estimate | None = None
    sensitivity: tuple[SensitivityRow, ...] = ()
    cumulative: tuple[CumulativeRow, ...] = ()
    distributions: tuple[DistributionRow, ...] = ()
    ladder: tuple[LadderRow, ...] = ()


class MixedRow(Record, frozen=True, kw_only=True):
    """A recipe as it is in the end, calibrated as a whole: its file's `bytes`, those of packed weights, its outputs."""

    recipe: str
    bytes: Count
    weight_bytes: Count
    sqnr_db: Number
    cosine: Number
    agreement: Estimate | None = None
    top1: Estimate | None = None


class MixedPrecision(Record, frozen=True, kw_only=True):
    """Bits by layer under a limit: the `chosen` recipe, and the uniform ones that it is compared with."""

    schema_version: int = SCHEMA_VERSION
    command: str
    model: str
    weights_sha256: str
    data: str
    calibration_data: str
    n: PositiveInt
    machine: str
    tools: dict[str, str]
    limit: str
    bits: dict[str, int]
    predicted_sqnr_db: Number
    rounds: Count
    chosen: MixedRow
    uniform: tuple[MixedRow, ...]


def read_analysis(path: Path) -> Analysis:
    """Read the file of an analysis; raises `RequestError` for any other."""
    try:
        return Analysis.parse(path.read_bytes())
    except (OSError, ArtifactError) as error:
        raise RequestError(f"{path} is not an analysis: {error}", hint="pass another folder with --out") from error
