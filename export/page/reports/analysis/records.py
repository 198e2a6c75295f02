"""`analysis.json`: what page and documents show of `export.analyze`'s files, by model and recipe."""

import shlex
from collections.abc import Iterable
from glob import escape
from pathlib import Path

from msgspec import field
from msgspec.structs import replace

from export.core.errors import ArtifactError, RequestError
from export.core.paths import RESOURCES
from export.core.records import Estimate
from export.core.schema import Count, Number, PositiveInt, Proportion, Record, parse_json
from export.quantization.analysis.records import (
    Analysis,
    CumulativeRow,
    LadderRow,
    MixedPrecision,
    Operand,
    SensitivityRow,
    Tensors,
)

SCHEMA_VERSION = 1
KEPT = Path(".github", "analysis.json")  # in the repository, and among what a wheel brings along
COMMAND = "python -m export.analyze"
HINT = f"run: {COMMAND}"


class LayerSensitivity(Record, frozen=True, kw_only=True):
    """What is lost when only the `tensors` of one layer are quantized.

    `own_sqnr_db` is that of the layer's own output, the others are of the model's outputs; `top1` needs labels.
    """

    layer: str
    role: str
    tensors: Tensors
    own_sqnr_db: Number
    sqnr_db: Number
    agreement: Proportion | None = None
    top1: Proportion | None = None


class Outlier(Record, frozen=True, kw_only=True):
    """A tensor from `low` to `high` with channels or tokens that a shared scale pays for."""

    layer: str
    operand: Operand
    low: Number
    high: Number
    warning: str


class AnalysisSummary(Record, frozen=True, kw_only=True):
    """One recipe on one model: on `n` images of `data`, by which command, where, and what was found."""

    command: str
    weights_sha256: str
    data: str
    calibration_data: str
    n: PositiveInt
    machine: str
    threads: Count
    tools: dict[str, str]
    float_top1: Estimate | None
    layers: tuple[LayerSensitivity, ...]
    cumulative: tuple[CumulativeRow, ...]
    outliers: tuple[Outlier, ...]
    ladder: tuple[LadderRow, ...]

    @property
    def ranked(self) -> list[LayerSensitivity]:
        """Every layer once, with all of its tensors quantized that ever are; what costs the outputs most is first."""
        whole = {row.layer: row for row in self.layers}
        whole |= {row.layer: row for row in self.layers if row.tensors == "both"}
        return sorted(whole.values(), key=lambda row: row.sqnr_db)


class ModelAnalyses(Record, frozen=True, kw_only=True):
    """The analyses of one model by recipe, and the bits by layer that were chosen within limits."""

    recipes: dict[str, AnalysisSummary] = field(default_factory=dict)
    limits: tuple[MixedPrecision, ...] = ()


class AnalysisFile(Record, frozen=True, kw_only=True):
    """The whole file, by model's name."""

    schema_version: int = SCHEMA_VERSION
    models: dict[str, ModelAnalyses] = field(default_factory=dict)


def read_analyses(*paths: Path) -> AnalysisFile:
    """Read and merge files of `export.analyze` and of this kind, later ones before earlier ones of model and recipe.

    Raises `RequestError` for any other file and for an analysis that was interrupted.
    """
    files = {path: _read(path) for path in paths}
    for path, file in files.items():
        if file is None:
            raise RequestError(
                f"{path} is an analysis that was interrupted", hint="run its command again: it goes on where it was"
            )
    return _merged(file for file in files.values() if file is not None)


def analysis_files(artifacts: Path, models: Iterable[str]) -> list[Path]:
    """Return the files that a page may show: what comes along, then those of these models among the artifacts."""
    own = [path for name in models for path in sorted(artifacts.glob(f"analysis-{escape(name)}-*.json"))]
    return [path for path in (RESOURCES / KEPT, *own) if path.is_file()]


def read_finished(paths: Iterable[Path]) -> tuple[AnalysisFile, list[str]]:
    """Read and merge files as `read_analyses` does, without those that were interrupted; and a note on each of these.

    Raises `RequestError` for a file of another kind.
    """
    files = {path: _read(path) for path in paths}
    notes = [f"{path} was interrupted and is not shown" for path, file in files.items() if file is None]
    return _merged(file for file in files.values() if file is not None), notes


def _read(path: Path) -> AnalysisFile | None:
    """Return a file in this form; None for an analysis that was interrupted."""
    try:
        values = parse_json(path.read_bytes())
        if not isinstance(values, dict) or values.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise ArtifactError(f"it has no schema_version {SCHEMA_VERSION}")
        if "models" in values:
            return AnalysisFile.from_json(values)
        if "limit" in values:
            return _of_limit(MixedPrecision.from_json(values))
        return _of_recipe(Analysis.from_json(values))
    except (OSError, ArtifactError) as error:
        raise RequestError(f"{path} is not an analysis: {error}", hint=HINT) from error


def _merged(files: Iterable[AnalysisFile]) -> AnalysisFile:
    models: dict[str, ModelAnalyses] = {}
    for file in files:
        for name, new in file.models.items():
            models[name] = _joined(models.get(name, ModelAnalyses()), new)
    return AnalysisFile(models=models)


def _joined(old: ModelAnalyses, new: ModelAnalyses) -> ModelAnalyses:
    """Return both; what was found with other weights than the newer ones is dropped."""
    weights = {one.weights_sha256 for one in new.recipes.values()} | {one.weights_sha256 for one in new.limits}
    recipes = {name: one for name, one in old.recipes.items() if one.weights_sha256 in weights}
    limits = {_limit_key(one): one for one in old.limits if one.weights_sha256 in weights}
    limits |= {_limit_key(one): one for one in new.limits}
    return ModelAnalyses(recipes=recipes | new.recipes, limits=tuple(limits.values()))


def _limit_key(mixed: MixedPrecision) -> tuple[str, str]:
    return mixed.limit, mixed.chosen.recipe


def _of_limit(mixed: MixedPrecision) -> AnalysisFile:
    kept = replace(mixed, command=without_folders(mixed.command))
    return AnalysisFile(models={mixed.model: ModelAnalyses(limits=(kept,))})


def _of_recipe(analysis: Analysis) -> AnalysisFile | None:
    if not analysis.cumulative:
        return None
    summary = AnalysisSummary(
        command=without_folders(analysis.command),
        weights_sha256=analysis.weights_sha256,
        data=analysis.data,
        calibration_data=analysis.calibration_data,
        n=analysis.n,
        machine=analysis.machine,
        threads=analysis.threads,
        tools=analysis.tools,
        float_top1=analysis.float_top1,
        layers=tuple(map(_layer, analysis.sensitivity)),
        cumulative=analysis.cumulative,
        outliers=tuple(
            Outlier(layer=row.layer, operand=row.operand, low=row.low, high=row.high, warning=row.warning)
            for row in sorted(analysis.distributions, key=lambda row: -max(row.channel_ratio, row.token_ratio or 0))
            if row.warning
        ),
        ladder=analysis.ladder,
    )
    return AnalysisFile(models={analysis.model: ModelAnalyses(recipes={analysis.recipe: summary})})


def _layer(row: SensitivityRow) -> LayerSensitivity:
    return LayerSensitivity(
        layer=row.layer,
        role=row.role,
        tensors=row.tensors,
        own_sqnr_db=row.own_sqnr_db,
        sqnr_db=row.sqnr_db,
        agreement=None if row.agreement is None else row.agreement.value,
        top1=None if row.top1 is None else row.top1.value,
    )


def without_folders(command: str) -> str:
    """Return a command as others may see it: of absolute paths only the last part."""
    return shlex.join(_last_part(word) for word in shlex.split(command))


def _last_part(word: str) -> str:
    option, equals, value = word.rpartition("=")
    return f"{option}{equals}{Path(value).name}" if value.startswith(("/", "~")) else word
