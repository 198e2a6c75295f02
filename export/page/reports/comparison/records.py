"""The records of a comparison: what `export.compare` found of each model, one file for all."""

from pathlib import Path

from msgspec.structs import replace

from export.core.errors import ArtifactError, RequestError
from export.core.figures.stats import Figure
from export.core.records import Estimate
from export.core.schema import Count, NonNegative, Number, PositiveInt, Record
from export.quantization.evaluation.records import EvaluationRow

SCHEMA_VERSION = 1


class Spread(Record, frozen=True, kw_only=True):
    """The median `value` of `n` samples with their 10th and 90th percentile, `low` and `high`."""

    value: Number
    n: PositiveInt
    low: Number
    high: Number


def to_spread(figure: Figure) -> Spread:
    """Return the record of a median with its spread."""
    assert figure.low is not None and figure.high is not None
    return Spread(value=figure.value, n=figure.n, low=figure.low, high=figure.high)


class Cell(Record, frozen=True, kw_only=True):
    """Which steps of a method one cell of its ablation has, at how many bits of weights and activations."""

    method: str
    bits: PositiveInt
    hessian: bool
    softmax_twin: bool
    gelu_twin: bool


class ComparisonRow(Record, frozen=True, kw_only=True):
    """One recipe on one model. `images` and `seed` are those of calibration, None where images decide nothing.

    `method` is the quantization method; `weight_groups` its groups of rows; `cell` its place in an ablation. `seconds`
    and `peak_bytes` are those of the whole job, calibration and evaluation.
    """

    evaluation: EvaluationRow
    method: str = ""
    images: PositiveInt | None = None
    seed: Count | None = None
    weight_groups: PositiveInt = 1
    cell: Cell | None = None
    seconds: NonNegative
    peak_bytes: Count | None = None

    @property
    def accuracy(self) -> Estimate | None:
        """The share of images classified as labelled, else as the float model does; of embeddings that of k-NN."""
        return self.evaluation.top1 or self.evaluation.knn or self.evaluation.agreement


class Speed(Record, frozen=True, kw_only=True):
    """Images a second of one recipe in PyTorch, in batches; `ratio` is to float on the CPU in the same rounds."""

    recipe: str
    device: str
    batch: PositiveInt
    threads: PositiveInt
    images_per_second: Spread
    ratio: Spread


class Operator(Record, frozen=True, kw_only=True):
    """One kind of operation of a model: how often it runs for an image, and its share of all multiplications.

    `ours`, `torch_ao` and `torchao` say which quantize it: all, none, or how many of how many.
    """

    name: str
    calls: Count
    share: Number
    ours: str
    torch_ao: str
    torchao: str
    why: str


class DynamicCheck(Record, frozen=True, kw_only=True):
    """PyTorch's dynamic quantization of Linear alone, and of Linear and Conv2d, of one model.

    `converted` counts the layers that the latter quantized; `equal` says that both give the same outputs on
    `inputs` images, bit for bit.
    """

    linear_bytes: Count
    both_bytes: Count
    converted: dict[str, Count]
    kept_float: dict[str, Count]
    equal: bool
    inputs: PositiveInt


class Peer(Record, frozen=True, kw_only=True):
    """One runtime on one image at a time; `ratio` is its latency to that of the fastest native int8 one.

    `where` is native or browser; `bytes` its file or download; `sqnr_db` that of its outputs on the golden inputs.
    """

    runtime: str
    where: str
    threads: PositiveInt
    latency_ms: Spread
    ratio: Number
    bytes: Count | None = None
    sqnr_db: Number | None = None


class ModelComparison(Record, frozen=True, kw_only=True):
    """All that was found of one model. Of `rows` the float model's is the first; what was not asked for is empty.

    `commands` are those that found it.
    """

    model: str
    title: str
    weights: str
    weights_sha256: str
    parameters: Count
    data: str
    calibration_data: str
    n: PositiveInt
    labelled: bool
    features: bool
    machine: str
    cpu: str
    tools: dict[str, str]
    rows: tuple[ComparisonRow, ...]
    speeds: tuple[Speed, ...] = ()
    operators: tuple[Operator, ...] = ()
    dynamic: DynamicCheck | None = None
    peers: tuple[Peer, ...] = ()
    commands: tuple[str, ...] = ()


class Failed(Record, frozen=True, kw_only=True):
    """A job that failed, and why."""

    subject: str
    message: str


class Comparison(Record, frozen=True, kw_only=True):
    """The whole file: the command that wrote it, and what was found of each model."""

    schema_version: int
    command: str
    models: tuple[ModelComparison, ...]
    failures: tuple[Failed, ...] = ()


def read_comparison(*paths: Path) -> Comparison:
    """Read files of `export.compare` as one: later ones add to what earlier ones found, or replace it.

    Raises `RequestError` for any other file.
    """
    files = [_read(path) for path in paths]
    models: dict[tuple[str, bool], ModelComparison] = {}
    for model in (model for file in files for model in file.models):
        place = (model.model, model.features)
        models[place] = _joined(models[place], model) if place in models else model
    return Comparison(
        schema_version=SCHEMA_VERSION,
        command="; ".join(dict.fromkeys(file.command for file in files)),
        models=tuple(models.values()),
        failures=tuple(one for file in files for one in file.failures),
    )


def _read(path: Path) -> Comparison:
    try:
        return Comparison.parse(path.read_bytes())
    except (OSError, ArtifactError) as error:
        raise RequestError(
            f"{path} is not a comparison: {error}", hint="run python -m export.compare with the same --out first"
        ) from error


def _joined(old: ModelComparison, new: ModelComparison) -> ModelComparison:
    """Return both; the newer alone where it has other weights or images."""
    if (old.weights_sha256, old.data, old.n) != (new.weights_sha256, new.data, new.n):
        return new
    rows = {_place(row): row for row in (*old.rows, *new.rows)}
    return replace(
        new,
        rows=tuple(rows.values()),
        speeds=new.speeds or old.speeds,
        operators=new.operators or old.operators,
        dynamic=new.dynamic or old.dynamic,
        peers=new.peers or old.peers,
        commands=tuple(dict.fromkeys((*old.commands, *new.commands))),
    )


def _place(row: ComparisonRow) -> tuple[object, ...]:
    return row.evaluation.recipe, row.images, row.seed, row.weight_groups, row.cell
